//! Chooses what to offer to a broker at connect: MQTT version, quality of service, retained messages. If the broker does not accept it,
//! less is offered. Pure.

use crate::sink::mqtt::event::{BrokerCapabilities, DisconnectKind};
use crate::sink::mqtt::settings::{MqttSettings, Version};

/// Connections closed without a reason after which less is offered.
const SILENT_MAX: u32 = 3;
/// Consecutive connections that end because of an acknowledgement for a packet never sent, after which QoS 0 is used.
const FOREIGN_MAX: u32 = 5;

/// One combination of features to connect with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub version: Version,
    /// QoS 1 if true, else QoS 0.
    pub is_qos1: bool,
    /// Whether states are published as retained messages.
    pub retain: bool,
}

/// What to do with a connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The connection is used.
    Keep,
    /// It is closed and the best offer is tried once more, since this one is not the best.
    RetryBest,
}

/// The possible offers, best first, and the state of the negotiation.
#[derive(Debug)]
pub struct Offers {
    all: Vec<Offer>,
    at: usize,
    silent_closes: u32,
    /// Index of a lesser offer that was accepted, while the best is being tried once more.
    fallback: Option<usize>,
    /// Whether the present offer is the best that is accepted, as far as was tried.
    is_settled: bool,
    /// Capabilities announced by the broker at the last connect.
    announced: BrokerCapabilities,
    /// Features for which it rejected a connect.
    rejects_qos1: bool,
    rejects_retain: bool,
    foreign_acks: u32,
    /// Whether it acknowledges packets that were never sent.
    acks_unsent_packets: bool,
    configured: Offer,
}

impl Offers {
    pub fn new(settings: &MqttSettings) -> Self {
        let versions = settings.version.map_or(vec![Version::V5, Version::V311], |v| vec![v]);
        let (acked, retain) = (settings.qos > 0, settings.retain);
        let wanted = Offer { version: versions[0], is_qos1: acked, retain };
        let mut all: Vec<Offer> = versions.iter().map(|v| Offer { version: *v, ..wanted }).collect();
        let last = all[all.len() - 1];
        for less in [Offer { retain: false, ..last }, Offer { retain: false, is_qos1: false, ..last }] {
            if all.last() != Some(&less) {
                all.push(less);
            }
        }
        let says = BrokerCapabilities { supports_qos1: true, supports_retain: true, max_packet: None };
        Self {
            all,
            at: 0,
            silent_closes: 0,
            fallback: None,
            is_settled: false,
            announced: says,
            rejects_qos1: false,
            rejects_retain: false,
            foreign_acks: 0,
            acks_unsent_packets: false,
            configured: wanted,
        }
    }

    /// The present offer, reduced by what the broker announced or rejected.
    pub fn now(&self) -> Offer {
        let offer = self.all[self.at];
        let acked = offer.is_qos1 && self.announced.supports_qos1 && !self.rejects_qos1 && !self.acks_unsent_packets;
        Offer {
            is_qos1: acked,
            retain: offer.retain && self.announced.supports_retain && !self.rejects_retain,
            ..offer
        }
    }

    /// Records a connection that ended before it was accepted.
    pub fn record_connect_failure(&mut self, end: DisconnectKind) {
        match end {
            DisconnectKind::RetainRefused => self.rejects_retain = true,
            DisconnectKind::QosRefused => self.rejects_qos1 = true,
            DisconnectKind::NotUnderstood => self.offer_less(),
            DisconnectKind::Closed => {
                self.silent_closes += 1;
                // A broker that is just starting, or a proxy in front of it, closes connections that it would accept later.
                if self.silent_closes >= SILENT_MAX || self.fallback.is_some() {
                    self.offer_less();
                }
            }
            DisconnectKind::TakenOver | DisconnectKind::ForeignAck | DisconnectKind::Broke => {}
        }
    }

    fn offer_less(&mut self) {
        self.silent_closes = 0;
        match self.fallback.take() {
            Some(at) => (self.at, self.is_settled) = (at, true),
            None => (self.at, self.is_settled) = ((self.at + 1) % self.all.len(), false),
        }
    }

    /// Records a connection that was accepted, with the capabilities that the broker announced.
    pub fn record_accepted(&mut self, able: &BrokerCapabilities) -> Accepted {
        self.silent_closes = 0;
        self.announced = able.clone();
        if self.at == 0 || self.is_settled {
            (self.fallback, self.is_settled) = (None, true);
            return Accepted::Keep;
        }
        // A broker that was just starting closed better offers too, so the best one gets another attempt.
        self.fallback = Some(self.at);
        self.at = 0;
        Accepted::RetryBest
    }

    /// Records the end of a connection that had been accepted.
    pub fn record_disconnect(&mut self, end: DisconnectKind) {
        self.foreign_acks = if end == DisconnectKind::ForeignAck { self.foreign_acks + 1 } else { 0 };
        self.acks_unsent_packets |= self.foreign_acks >= FOREIGN_MAX;
    }

    /// The configured features that are not used, with the consequences; empty if all are used.
    pub fn unused_features(&self) -> Vec<String> {
        let (now, wanted) = (self.now(), self.configured);
        let mut out = Vec::new();
        if now.version != wanted.version {
            out.push(
                "the broker does not understand MQTT 5: 3.1.1 is spoken, it refuses messages without a word"
                    .to_string(),
            );
        }
        if wanted.is_qos1 && !now.is_qos1 {
            let why = if self.acks_unsent_packets { "acknowledges what was never sent" } else { "takes QoS 0 only" };
            out.push(format!("the broker {why}: messages are sent without acknowledgement, what is on the way when a connection breaks is lost"));
        }
        if wanted.retain && !now.retain {
            out.push(
                "the broker retains nothing: states are sent at each connect and change, later subscribers miss them"
                    .to_string(),
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> BrokerCapabilities {
        BrokerCapabilities { supports_qos1: true, supports_retain: true, max_packet: None }
    }

    fn offers() -> Offers {
        Offers::new(&MqttSettings::plain("b", "mqtt://h"))
    }

    const fn offer(version: Version, acked: bool, retain: bool) -> Offer {
        Offer { version, is_qos1: acked, retain }
    }

    #[test]
    fn a_broker_of_3_1_1_is_found_by_itself() {
        let mut offers = offers();
        assert_eq!(offers.now(), offer(Version::V5, true, true));
        offers.record_connect_failure(DisconnectKind::NotUnderstood);
        assert_eq!(offers.now(), offer(Version::V311, true, true));
        // The best offer is tried once more before a lesser one is kept.
        assert_eq!(offers.record_accepted(&able()), Accepted::RetryBest);
        assert_eq!(offers.now().version, Version::V5);
        offers.record_connect_failure(DisconnectKind::NotUnderstood);
        assert_eq!(offers.record_accepted(&able()), Accepted::Keep);
        assert_eq!(offers.now(), offer(Version::V311, true, true));
        assert_eq!(offers.unused_features().len(), 1);
    }

    #[test]
    fn a_broker_that_was_only_starting_gets_what_is_best() {
        let mut offers = offers();
        (0..9).for_each(|_| offers.record_connect_failure(DisconnectKind::Closed));
        assert_eq!(offers.now(), offer(Version::V311, false, false));
        assert_eq!(offers.record_accepted(&able()), Accepted::RetryBest);
        assert_eq!(offers.record_accepted(&able()), Accepted::Keep);
        assert_eq!(offers.now(), offer(Version::V5, true, true));
        assert!(offers.unused_features().is_empty());
        (0..50).for_each(|_| offers.record_connect_failure(DisconnectKind::Broke));
        assert_eq!(offers.now(), offer(Version::V5, true, true), "a broker that is away refuses nothing");
    }

    #[test]
    fn a_restart_behind_a_proxy_takes_nothing_away() {
        let mut offers = offers();
        assert_eq!(offers.record_accepted(&able()), Accepted::Keep);
        for closes in 1..30 {
            (0..closes).for_each(|_| offers.record_connect_failure(DisconnectKind::Closed));
            while offers.record_accepted(&able()) == Accepted::RetryBest {}
            assert_eq!(offers.now(), offer(Version::V5, true, true), "after {closes} that were closed");
            assert!(offers.unused_features().is_empty());
        }
        // What the broker announces is valid for that connection only.
        assert_eq!(
            offers.record_accepted(&BrokerCapabilities { supports_qos1: false, supports_retain: false, ..able() }),
            Accepted::Keep
        );
        assert_eq!(offers.now(), offer(Version::V5, false, false));
        assert_eq!(offers.record_accepted(&able()), Accepted::Keep);
        assert_eq!(offers.now(), offer(Version::V5, true, true));
    }

    #[test]
    fn what_the_broker_says_is_obeyed() {
        let mut offers = offers();
        offers.record_connect_failure(DisconnectKind::RetainRefused);
        assert_eq!(offers.now(), offer(Version::V5, true, false));
        assert_eq!(offers.record_accepted(&BrokerCapabilities { supports_qos1: false, ..able() }), Accepted::Keep);
        assert_eq!(offers.now(), offer(Version::V5, false, false));
        assert_eq!(offers.unused_features().len(), 2);
        let mut offers = Offers::new(&MqttSettings { qos: 0, retain: false, ..MqttSettings::plain("b", "mqtt://h") });
        assert_eq!(offers.now(), offer(Version::V5, false, false));
        assert!(offers.unused_features().is_empty(), "that was wanted");
        offers.record_connect_failure(DisconnectKind::NotUnderstood);
        offers.record_connect_failure(DisconnectKind::NotUnderstood);
        assert_eq!(offers.now(), offer(Version::V5, false, false), "there is nothing less than that");
    }

    #[test]
    fn whoever_acknowledges_what_was_never_sent_gets_nothing_to_acknowledge() {
        let mut offers = offers();
        assert_eq!(offers.record_accepted(&able()), Accepted::Keep);
        (0..4).for_each(|_| offers.record_disconnect(DisconnectKind::ForeignAck));
        offers.record_disconnect(DisconnectKind::Closed);
        (0..4).for_each(|_| offers.record_disconnect(DisconnectKind::ForeignAck));
        assert!(offers.now().is_qos1);
        offers.record_disconnect(DisconnectKind::ForeignAck);
        assert!(!offers.now().is_qos1 && offers.unused_features()[0].contains("never sent"));
        offers.record_disconnect(DisconnectKind::Closed);
        assert_eq!(offers.record_accepted(&able()), Accepted::Keep);
        assert!(!offers.now().is_qos1 && offers.unused_features()[0].contains("never sent"), "it is not forgotten");
    }
}
