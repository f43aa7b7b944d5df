//! Chooses what to offer to a broker at connect: MQTT version, quality of service, retained messages. If the broker does not accept it,
//! less is offered. Pure.

use crate::sink::mqtt::client::{Able, End};
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
    pub acked: bool,
    /// Whether states are published as retained messages.
    pub retain: bool,
}

/// What to do with a connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The connection is used.
    Stays,
    /// It is closed and the best offer is tried once more, since this one is not the best.
    TriesBetter,
}

/// The possible offers, best first, and the state of the negotiation.
#[derive(Debug)]
pub struct Offers {
    all: Vec<Offer>,
    at: usize,
    silent: u32,
    /// Index of a lesser offer that was accepted, while the best is being tried once more.
    falls_back_to: Option<usize>,
    /// Whether the present offer is the best that is accepted, as far as was tried.
    is_settled: bool,
    /// Capabilities announced by the broker at the last connect.
    says: Able,
    /// Features for which it rejected a connect.
    refuses_acks: bool,
    refuses_retain: bool,
    foreign: u32,
    /// Whether it acknowledges packets that were never sent.
    confuses_acks: bool,
    wanted: Offer,
}

impl Offers {
    pub fn new(settings: &MqttSettings) -> Self {
        let versions = settings.version.map_or(vec![Version::V5, Version::V311], |v| vec![v]);
        let (acked, retain) = (settings.qos > 0, settings.retain);
        let wanted = Offer { version: versions[0], acked, retain };
        let mut all: Vec<Offer> = versions.iter().map(|v| Offer { version: *v, ..wanted }).collect();
        let last = all[all.len() - 1];
        for less in [Offer { retain: false, ..last }, Offer { retain: false, acked: false, ..last }] {
            if all.last() != Some(&less) {
                all.push(less);
            }
        }
        let says = Able { acks: true, retains: true, max_packet: None };
        Self {
            all,
            at: 0,
            silent: 0,
            falls_back_to: None,
            is_settled: false,
            says,
            refuses_acks: false,
            refuses_retain: false,
            foreign: 0,
            confuses_acks: false,
            wanted,
        }
    }

    /// The present offer, reduced by what the broker announced or rejected.
    pub fn now(&self) -> Offer {
        let offer = self.all[self.at];
        let acked = offer.acked && self.says.acks && !self.refuses_acks && !self.confuses_acks;
        Offer { acked, retain: offer.retain && self.says.retains && !self.refuses_retain, ..offer }
    }

    /// Records a connection that ended before it was accepted.
    pub fn ended_unheard(&mut self, end: End) {
        match end {
            End::RetainRefused => self.refuses_retain = true,
            End::QosRefused => self.refuses_acks = true,
            End::NotUnderstood => self.less(),
            End::Closed => {
                self.silent += 1;
                // A broker that is just starting, or a proxy in front of it, closes connections that it would accept later.
                if self.silent >= SILENT_MAX || self.falls_back_to.is_some() {
                    self.less();
                }
            }
            End::TakenOver | End::ForeignAck | End::Broke => {}
        }
    }

    fn less(&mut self) {
        self.silent = 0;
        match self.falls_back_to.take() {
            Some(at) => (self.at, self.is_settled) = (at, true),
            None => (self.at, self.is_settled) = ((self.at + 1) % self.all.len(), false),
        }
    }

    /// Records a connection that was accepted, with the capabilities that the broker announced.
    pub fn accepted(&mut self, able: &Able) -> Accepted {
        self.silent = 0;
        self.says = able.clone();
        if self.at == 0 || self.is_settled {
            (self.falls_back_to, self.is_settled) = (None, true);
            return Accepted::Stays;
        }
        // A broker that was just starting closed better offers too, so the best one gets another attempt.
        self.falls_back_to = Some(self.at);
        self.at = 0;
        Accepted::TriesBetter
    }

    /// Records the end of a connection that had been accepted.
    pub fn ended(&mut self, end: End) {
        self.foreign = if end == End::ForeignAck { self.foreign + 1 } else { 0 };
        self.confuses_acks |= self.foreign >= FOREIGN_MAX;
    }

    /// The configured features that are not used, with the consequences; empty if all are used.
    pub fn less_than_wanted(&self) -> Vec<String> {
        let (now, wanted) = (self.now(), self.wanted);
        let mut out = Vec::new();
        if now.version != wanted.version {
            out.push(
                "the broker does not understand MQTT 5: 3.1.1 is spoken, it refuses messages without a word"
                    .to_string(),
            );
        }
        if wanted.acked && !now.acked {
            let why = if self.confuses_acks { "acknowledges what was never sent" } else { "takes QoS 0 only" };
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

    fn able() -> Able {
        Able { acks: true, retains: true, max_packet: None }
    }

    fn offers() -> Offers {
        Offers::new(&MqttSettings::plain("b", "mqtt://h"))
    }

    const fn offer(version: Version, acked: bool, retain: bool) -> Offer {
        Offer { version, acked, retain }
    }

    #[test]
    fn a_broker_of_3_1_1_is_found_by_itself() {
        let mut offers = offers();
        assert_eq!(offers.now(), offer(Version::V5, true, true));
        offers.ended_unheard(End::NotUnderstood);
        assert_eq!(offers.now(), offer(Version::V311, true, true));
        // The best offer is tried once more before a lesser one is kept.
        assert_eq!(offers.accepted(&able()), Accepted::TriesBetter);
        assert_eq!(offers.now().version, Version::V5);
        offers.ended_unheard(End::NotUnderstood);
        assert_eq!(offers.accepted(&able()), Accepted::Stays);
        assert_eq!(offers.now(), offer(Version::V311, true, true));
        assert_eq!(offers.less_than_wanted().len(), 1);
    }

    #[test]
    fn a_broker_that_was_only_starting_gets_what_is_best() {
        let mut offers = offers();
        (0..9).for_each(|_| offers.ended_unheard(End::Closed));
        assert_eq!(offers.now(), offer(Version::V311, false, false));
        assert_eq!(offers.accepted(&able()), Accepted::TriesBetter);
        assert_eq!(offers.accepted(&able()), Accepted::Stays);
        assert_eq!(offers.now(), offer(Version::V5, true, true));
        assert!(offers.less_than_wanted().is_empty());
        (0..50).for_each(|_| offers.ended_unheard(End::Broke));
        assert_eq!(offers.now(), offer(Version::V5, true, true), "a broker that is away refuses nothing");
    }

    #[test]
    fn a_restart_behind_a_proxy_takes_nothing_away() {
        let mut offers = offers();
        assert_eq!(offers.accepted(&able()), Accepted::Stays);
        for closes in 1..30 {
            (0..closes).for_each(|_| offers.ended_unheard(End::Closed));
            while offers.accepted(&able()) == Accepted::TriesBetter {}
            assert_eq!(offers.now(), offer(Version::V5, true, true), "after {closes} that were closed");
            assert!(offers.less_than_wanted().is_empty());
        }
        // What the broker announces is valid for that connection only.
        assert_eq!(offers.accepted(&Able { acks: false, retains: false, ..able() }), Accepted::Stays);
        assert_eq!(offers.now(), offer(Version::V5, false, false));
        assert_eq!(offers.accepted(&able()), Accepted::Stays);
        assert_eq!(offers.now(), offer(Version::V5, true, true));
    }

    #[test]
    fn what_the_broker_says_is_obeyed() {
        let mut offers = offers();
        offers.ended_unheard(End::RetainRefused);
        assert_eq!(offers.now(), offer(Version::V5, true, false));
        assert_eq!(offers.accepted(&Able { acks: false, ..able() }), Accepted::Stays);
        assert_eq!(offers.now(), offer(Version::V5, false, false));
        assert_eq!(offers.less_than_wanted().len(), 2);
        let mut offers = Offers::new(&MqttSettings { qos: 0, retain: false, ..MqttSettings::plain("b", "mqtt://h") });
        assert_eq!(offers.now(), offer(Version::V5, false, false));
        assert!(offers.less_than_wanted().is_empty(), "that was wanted");
        offers.ended_unheard(End::NotUnderstood);
        offers.ended_unheard(End::NotUnderstood);
        assert_eq!(offers.now(), offer(Version::V5, false, false), "there is nothing less than that");
    }

    #[test]
    fn whoever_acknowledges_what_was_never_sent_gets_nothing_to_acknowledge() {
        let mut offers = offers();
        assert_eq!(offers.accepted(&able()), Accepted::Stays);
        (0..4).for_each(|_| offers.ended(End::ForeignAck));
        offers.ended(End::Closed);
        (0..4).for_each(|_| offers.ended(End::ForeignAck));
        assert!(offers.now().acked);
        offers.ended(End::ForeignAck);
        assert!(!offers.now().acked && offers.less_than_wanted()[0].contains("never sent"));
        offers.ended(End::Closed);
        assert_eq!(offers.accepted(&able()), Accepted::Stays);
        assert!(!offers.now().acked && offers.less_than_wanted()[0].contains("never sent"), "it is not forgotten");
    }
}
