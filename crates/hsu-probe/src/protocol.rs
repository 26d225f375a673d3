//! Any protocol: what is said, and what must come back, in turn.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hsu_model::discovery::Protocol as Carrier;
use hsu_model::health::probe::{Exchange, Place, Protocol, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use crate::answerer::Here;
use crate::look::{Looked, MOST_BODY, Seen, Tools, Trouble, trouble};
use crate::pattern::shown;
use crate::prober::Subject;

/// The largest datagram.
const DATAGRAM: usize = 64 << 10;

pub(crate) async fn look(tools: &Tools, wanted: &Protocol, subject: &Subject) -> Looked {
    match wanted.transport {
        Transport::Stream => {
            let mut stream = tools.network.connect(&wanted.endpoint, &[], subject).await?;
            let peer = stream.peer.clone();
            let mut last = Vec::new();
            for exchange in &wanted.exchanges {
                if let Some(text) = turn(tools, &mut stream, exchange, &peer).await? {
                    last = text;
                }
            }
            Ok(Seen { text: last.clone(), ..Seen::note(format!("{peer} said {}", shown(&last))) })
        }
        Transport::Datagram => datagrams(tools, wanted, subject).await,
    }
}

/// Says something and reads until what is expected has come; what came, when anything
/// was waited for.
async fn turn<S: AsyncRead + AsyncWrite + Unpin>(
    tools: &Tools,
    stream: &mut S,
    exchange: &Exchange,
    peer: &str,
) -> Result<Option<Vec<u8>>, Trouble> {
    stream.write_all(&exchange.send).await.map_err(|error| trouble(peer, &error))?;
    stream.flush().await.map_err(|error| trouble(peer, &error))?;
    let Some(pattern) = &exchange.expect else {
        return Ok(None);
    };
    let regex = tools.patterns.get(pattern)?;
    let mut text = Vec::new();
    let mut block = [0; 4 << 10];
    loop {
        let count = stream.read(&mut block).await.map_err(|error| trouble(peer, &error))?;
        text.extend_from_slice(block.get(..count).unwrap_or_default());
        if regex.is_match(&text) {
            return Ok(Some(text));
        }
        if count == 0 || text.len() > MOST_BODY {
            let what = if count == 0 { "ended" } else { "goes on without end" };
            let text = shown(&text);
            return Err(Trouble::Bad(format!(
                "{peer}: the answer {what}, without `{}`: {text}",
                pattern.0
            )));
        }
    }
}

async fn datagrams(tools: &Tools, wanted: &Protocol, subject: &Subject) -> Looked {
    let Place::Port { host, port, reach } = &wanted.endpoint.place else {
        return Err(Trouble::Unable("datagrams go to a port only".to_owned()));
    };
    let addresses = tools.network.addresses(host, *port, *reach).await?;
    let Some(address) = addresses.first() else {
        return Err(Trouble::Bad(format!("{host} has no address")));
    };
    let peer = address.to_string();
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|error| trouble("a socket", &error))?;
    // Only this address is heard from now on.
    socket.connect(address).await.map_err(|error| trouble(&peer, &error))?;
    let own = socket.local_addr().map_err(|error| trouble(&peer, &error))?;
    let here = Here::Port { over: Carrier::Udp, address: *address, own };
    tools.network.answerers.judge(&wanted.endpoint.answerer, here, subject).await?;
    let mut last = Vec::new();
    let mut block = vec![0; DATAGRAM];
    for exchange in &wanted.exchanges {
        if !exchange.send.is_empty() {
            socket.send(&exchange.send).await.map_err(|error| trouble(&peer, &error))?;
        }
        if let Some(pattern) = &exchange.expect {
            let count = socket.recv(&mut block).await.map_err(|error| trouble(&peer, &error))?;
            last = block.get(..count).unwrap_or_default().to_vec();
            tools.patterns.expect(Some(pattern), "the answer", &last)?;
        }
    }
    Ok(Seen { text: last.clone(), ..Seen::note(format!("{peer} said {}", shown(&last))) })
}
