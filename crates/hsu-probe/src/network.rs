//! The network: names, addresses, connections.
//!
//! No proxy is asked and no variable of the environment is read. A name is resolved
//! once for each look; see [`crate::address`] for where a look may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hsu_model::discovery::Protocol;
use hsu_model::health::probe::{Answerer, Endpoint, Place, Reach, Tls};
use hsu_sys::local::{connect_async, listener_of};
use tokio::net::TcpStream;

use crate::address::refusal;
use crate::answerer::{Answerers, Here};
use crate::connection::{Connection, Plain};
use crate::look::{Trouble, trouble};
use crate::names::Names;
use crate::prober::Subject;
use crate::tls::Tlses;

/// Addresses of one name that are tried.
const MOST_TRIED: usize = 4;
/// How long one address of several may take.
const EACH: Duration = Duration::from_secs(2);

/// What connects.
#[derive(Debug)]
pub(crate) struct Network {
    names: Names,
    pub(crate) tls: Tlses,
    pub(crate) answerers: Answerers,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { names: Names::of_the_host(), tls: Tlses::default(), answerers: Answerers::new() }
    }

    /// Connects to whoever may answer, protected when the endpoint says so; `protocols` are
    /// offered by ALPN.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
        protocols: &[&[u8]],
        subject: &Subject,
    ) -> Result<Connection, Trouble> {
        let (plain, peer) = self.connect_plain(endpoint, subject).await?;
        match &endpoint.tls {
            None => Ok(Connection::plain(plain, peer)),
            Some(tls) => self.protect_with(plain, peer, endpoint, tls, protocols).await,
        }
    }

    /// Protects what began in the open.
    pub(crate) async fn protect(
        &self,
        plain: Plain,
        peer: String,
        endpoint: &Endpoint,
        tls: &Tls,
    ) -> Result<Connection, Trouble> {
        self.protect_with(plain, peer, endpoint, tls, &[]).await
    }

    async fn protect_with(
        &self,
        plain: Plain,
        peer: String,
        endpoint: &Endpoint,
        tls: &Tls,
        protocols: &[&[u8]],
    ) -> Result<Connection, Trouble> {
        let host = match &endpoint.place {
            Place::Port { host, .. } => host.as_str(),
            Place::Socket(_) => "localhost",
        };
        let stream = self.tls.protect(plain, tls, host, protocols).await?;
        Ok(Connection::tls(stream, peer))
    }

    /// Connects in the open, and says nothing before it is known who answers, where that
    /// matters.
    pub(crate) async fn connect_plain(
        &self,
        endpoint: &Endpoint,
        subject: &Subject,
    ) -> Result<(Plain, String), Trouble> {
        let (plain, peer) = self.reach(&endpoint.place).await?;
        if endpoint.answerer != Answerer::Anybody {
            let here = here(&plain, &peer).map_err(|error| trouble(&peer, &error))?;
            self.answerers.judge(&endpoint.answerer, here, subject).await?;
        }
        Ok((plain, peer))
    }

    async fn reach(&self, place: &Place) -> Result<(Plain, String), Trouble> {
        match place {
            Place::Port { host, port, reach } => self.connect_port(host, *port, *reach).await,
            Place::Socket(path) => {
                let stream = connect_async(Path::new(path)).await;
                let stream = stream.map_err(|error| trouble(path, &error))?;
                Ok((Plain::Local(stream), path.clone()))
            }
        }
    }

    async fn connect_port(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<(Plain, String), Trouble> {
        let addresses = self.addresses(host, port, reach).await?;
        let is_one = addresses.len() == 1;
        let mut troubles = Vec::new();
        for address in addresses.into_iter().take(MOST_TRIED) {
            let connecting = TcpStream::connect(address);
            let connected = match is_one {
                true => connecting.await,
                false => match tokio::time::timeout(EACH, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
                },
            };
            match connected {
                Ok(stream) => {
                    // A question is short, and its end is not waited for.
                    drop(stream.set_nodelay(true));
                    return Ok((Plain::Tcp(stream), address.to_string()));
                }
                Err(error) => troubles.push(trouble(&address.to_string(), &error)),
            }
        }
        Err(together(host, troubles))
    }

    /// The addresses of a host that a look may reach.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<Vec<SocketAddr>, Trouble> {
        let all = self.resolve(host, port).await?;
        let mut refused = None;
        let mut allowed = Vec::with_capacity(all.len());
        for address in all {
            match refusal(address.ip(), reach) {
                None => allowed.push(address),
                Some(why) => refused = Some((address.ip(), why)),
            }
        }
        match refused {
            Some((address, why)) if allowed.is_empty() => Err(Trouble::Bad(format!(
                "{address} is refused: {why} (hint: `allow_link_local: true` reaches it)"
            ))),
            Some(_) | None => Ok(allowed),
        }
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        // Source: RFC 6761, section 6.3.
        if bare.eq_ignore_ascii_case("localhost") {
            let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(both.map(|address| SocketAddr::new(address, port)).into());
        }
        match self.names.find(bare).await {
            Ok(found) => Ok(found.into_iter().map(|found| SocketAddr::new(found, port)).collect()),
            Err(error) => Err(Trouble::Bad(format!("cannot resolve {bare}: {error}"))),
        }
    }
}

/// What the attempts at all addresses of a host come to. One that tells of the other side
/// counts, whatever we lack for another one, such as the newer family for `localhost`.
fn together(host: &str, troubles: Vec<Trouble>) -> Trouble {
    let is_bad = |trouble: &Trouble| matches!(trouble, Trouble::Bad(_));
    if troubles.is_empty() {
        return Trouble::Bad(format!("{host} has no address"));
    }
    let tells = troubles.iter().any(is_bad);
    let told = troubles.into_iter().filter(|trouble| !tells || is_bad(trouble));
    let words: Vec<String> = told
        .map(|trouble| match trouble {
            Trouble::Bad(why) | Trouble::Unable(why) => why,
        })
        .collect();
    let words = words.join("; ");
    if tells { Trouble::Bad(words) } else { Trouble::Unable(words) }
}

/// What is known of the other end.
fn here(plain: &Plain, path: &str) -> std::io::Result<Here> {
    Ok(match plain {
        Plain::Tcp(stream) => Here::Port {
            over: Protocol::Tcp,
            address: stream.peer_addr()?,
            own: stream.local_addr()?,
        },
        Plain::Local(stream) => {
            let (maker, user) = listener_of(stream)?;
            Here::Path { path: path.to_owned(), maker, user }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_addresses_each_failure_is_told_and_what_we_lack_hides_none() {
        let bad = |why: &str| Trouble::Bad(why.to_owned());
        let unable = |why: &str| Trouble::Unable(why.to_owned());
        for (troubles, wanted) in [
            (vec![], bad("h has no address")),
            (vec![bad("a")], bad("a")),
            (vec![bad("a"), bad("b")], bad("a; b")),
            (vec![bad("a"), unable("b")], bad("a")),
            (vec![unable("a"), unable("b")], unable("a; b")),
        ] {
            assert_eq!(together("h", troubles), wanted);
        }
    }
}
