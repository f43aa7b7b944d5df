//! How a link is opened: a serial port, or a connection to the first of a host's addresses that takes one.

use crate::link::error::LinkError;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The byte stream of a bus: a TCP connection, a serial port or a simulated bus.
pub trait ByteStream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> ByteStream for T {}

pub type BoxedByteStream = Box<dyn ByteStream>;

/// Connects to a simulated bus instead of the configured transport.
pub type Dialer = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<BoxedByteStream>> + Send>> + Send + Sync>;

/// How long one address is tried before the next is tried beside it (RFC 8305: 250 ms).
const STAGGER: Duration = Duration::from_millis(250);
/// Interval of TCP keepalive probes on an idle connection, and how many may stay unanswered before it is given up.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Connects to `host:port`, trying all addresses of the name side by side.
///
/// # Errors
/// A message with the error of each address.
pub async fn tcp(address: &str, wait: Duration) -> Result<TcpStream, LinkError> {
    let all = async {
        let found = tokio::net::lookup_host(address).await;
        let found: Vec<SocketAddr> =
            found.map_err(|e| LinkError::NoAddress { address: address.to_string(), reason: e.to_string() })?.collect();
        connect_any(address, interleaved(&found)).await
    };
    let stream = match tokio::time::timeout(wait, all).await {
        Ok(result) => result?,
        Err(_elapsed) => return Err(no_connection(address, format!("no answer within {} ms", wait.as_millis()))),
    };
    let _best_effort = stream.set_nodelay(true);
    keep_alive(&stream);
    Ok(stream)
}

fn no_connection(address: &str, reason: String) -> LinkError {
    LinkError::NoConnection { address: address.to_string(), reason }
}

/// The address families in turn, beginning with the family of the first address (RFC 8305, 4).
fn interleaved(found: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<SocketAddr>, VecDeque<SocketAddr>) =
        found.iter().copied().partition(|a| a.is_ipv6() == first_is_v6);
    let mut out = VecDeque::with_capacity(found.len());
    while !one.is_empty() || !other.is_empty() {
        out.extend(one.pop_front());
        out.extend(other.pop_front());
    }
    out
}

async fn connect_any(address: &str, mut waiting: VecDeque<SocketAddr>) -> Result<TcpStream, LinkError> {
    let mut errors: Vec<String> = Vec::new();
    let mut attempts = FuturesUnordered::new();
    loop {
        if let Some(next) = waiting.pop_front() {
            attempts.push(async move { (next, TcpStream::connect(next).await) });
        } else if attempts.is_empty() {
            let reason = if errors.is_empty() { "the name has no address".to_string() } else { errors.join("; ") };
            return Err(no_connection(address, reason));
        }
        let stagger = if waiting.is_empty() { Duration::MAX } else { STAGGER };
        match tokio::time::timeout(stagger, attempts.next()).await {
            Ok(Some((_, Ok(stream)))) => return Ok(stream),
            Ok(Some((at, Err(e)))) => errors.push(format!("{at}: {e}")),
            Ok(None) | Err(_) => {}
        }
    }
}

/// Lets the operating system probe an idle connection, so that a path that drops packets is detected without a request.
fn keep_alive(stream: &TcpStream) {
    let _best_effort = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, KEEPALIVE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, KEEPALIVE))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_addresses_take_turns() {
        let found: Vec<SocketAddr> =
            ["[::1]:1", "[::2]:1", "127.0.0.1:1", "127.0.0.2:1"].iter().map(|a| a.parse().unwrap()).collect();
        let order: Vec<String> = interleaved(&found).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1"]);
        assert!(interleaved(&[]).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_takes_no_connection_holds_up_nobody_and_idle_ones_are_kept_alive() {
        let good = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let good_at = good.local_addr().unwrap();
        let full_at = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), good_at.port());
        let full =
            rustix::net::socket(rustix::net::AddressFamily::INET6, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::net::bind(&full, &full_at).unwrap();
        rustix::net::listen(&full, 0).unwrap();
        // Its queue is full: further attempts get no answer at all.
        let wait = Duration::from_millis(100);
        let _waiting: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect_timeout(&full_at, wait)).collect();
        let connected = connect_any("x", VecDeque::from([full_at, good_at]));
        let stream = tokio::time::timeout(Duration::from_secs(3), connected).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good_at);
        let refused = connect_any("x", VecDeque::from(["127.0.0.1:1".parse().unwrap()])).await.unwrap_err().to_string();
        assert!(refused.contains("cannot connect to x: 127.0.0.1:1: "), "{refused}");
        let stream = tcp(&good_at.to_string(), Duration::from_secs(3)).await.unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE);
    }
}
