//! Limits connections per address; counts and delays requests with an invalid token.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::LogLimit;
use crate::lock::lock;

/// Connections at a time per IPv4 address or IPv6 /64 network.
const ADDRESS_MAX: usize = 8;
/// Delay of the answer to an invalid token, against guessing.
const GUESS: Duration = Duration::from_millis(500);

/// Requests with an invalid token since the start.
static REFUSED: AtomicU64 = AtomicU64::new(0);
static LOG: LogLimit = LogLimit::new();

pub fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Counts an invalid token, logs it at most once a minute, and delays the answer.
pub async fn reject_token(what: &'static str) {
    REFUSED.fetch_add(1, Ordering::Relaxed);
    if let Some(count) = LOG.allows(what) {
        tracing::warn!(what, count, "requests with a token that is none");
    }
    tokio::time::sleep(GUESS).await;
}

/// Open connections by address.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// The slot of a connection; released when dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    of: Connections,
    address: IpAddr,
}

impl Connections {
    /// A slot for a connection of this address; `None` beyond `ADDRESS_MAX`.
    pub fn place(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let address = network(address);
        let mut all = lock(&self.0);
        let count = all.entry(address).or_default();
        if *count >= ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(ConnectionSlot { of: self.clone(), address })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut all = lock(&self.of.0);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

/// The IPv4 address, or the IPv6 /64 network: a host usually owns all of its addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(a) => match a.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(a) >> 64 << 64).into()),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_eight_places_and_gets_them_back() {
        let connections = Connections::default();
        let at = |text: &str| connections.place(text.parse().unwrap());
        let mut held: Vec<ConnectionSlot> = (0..ADDRESS_MAX).map(|_| at("10.0.0.1").unwrap()).collect();
        assert!(at("10.0.0.1").is_none() && at("::ffff:10.0.0.1").is_none());
        assert!(at("10.0.0.2").is_some(), "others have theirs");
        held.pop();
        held.push(at("10.0.0.1").unwrap());
        let net: Vec<ConnectionSlot> = (0..ADDRESS_MAX).map(|n| at(&format!("2001:db8::{n}")).unwrap()).collect();
        assert!(at("2001:db8::ffff").is_none() && at("2001:db8:0:1::1").is_some());
        drop((held, net));
        assert!(connections.0.lock().unwrap().is_empty());
    }
}
