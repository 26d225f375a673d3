//! Listening sockets of Linux.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use hsu_model::socket::{ListenAddress, ListeningSocket, SocketKind, SocketOwner};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen as begin_to_listen,
    socket_with, sockopt,
};

use crate::users;

/// A descriptor.
pub type Owned = OwnedFd;

/// Makes a socket that listens as it is declared. A path that nobody listens at any
/// more is taken; the worker is the one who accepts.
///
/// # Errors
/// The kernel's: most often [`io::ErrorKind::AddrInUse`].
pub fn listen(socket: &ListeningSocket) -> io::Result<Owned> {
    let kind = match socket.kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
        SocketKind::SequentialPacket => SocketType::SEQPACKET,
    };
    let family = match &socket.address {
        ListenAddress::Network(address) if address.is_ipv4() => AddressFamily::INET,
        ListenAddress::Network(_) => AddressFamily::INET6,
        ListenAddress::Path(_) => AddressFamily::UNIX,
    };
    let made = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    match &socket.address {
        ListenAddress::Network(address) => {
            if socket.kind == SocketKind::Stream {
                // Connections of the past may still wait for their end.
                sockopt::set_socket_reuseaddr(&made, true)?;
            }
            bind(&made, address)?;
        }
        ListenAddress::Path(path) => bind_path(&made, Path::new(path), &socket.owner)?,
    }
    if socket.kind != SocketKind::Datagram {
        begin_to_listen(&made, i32::try_from(socket.backlog).unwrap_or(i32::MAX))?;
    }
    Ok(made)
}

/// Binds a path that nobody uses and gives it to whom it belongs.
pub(crate) fn bind_path(socket: &OwnedFd, path: &Path, owner: &SocketOwner) -> io::Result<()> {
    let address = SocketAddrUnix::new(path)?;
    match bind(socket, &address) {
        Err(rustix::io::Errno::ADDRINUSE) if is_left_over(path) => {
            fs::remove_file(path)?;
            bind(socket, &address)?;
        }
        other => other?,
    }
    let identity = users::resolve(owner.user.as_deref(), owner.group.as_deref());
    let identity = identity.map_err(io::Error::other)?;
    if let Some(identity) = identity {
        std::os::unix::fs::lchown(path, Some(identity.uid), Some(identity.gid))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
}

/// Whether a path is a socket at which nobody listens.
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(refused)
}

/// Takes away the file of a socket that was made here, by its label.
pub fn forget(label: &str) {
    let path = label.split_once(' ').map(|(_, address)| Path::new(address));
    if let Some(path) = path.filter(|path| path.is_absolute())
        && fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
    {
        // Whoever has removed it already was faster.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn at(address: ListenAddress) -> ListeningSocket {
        ListeningSocket {
            name: "web".into(),
            address,
            kind: SocketKind::Stream,
            backlog: 16,
            owner: SocketOwner { mode: 0o600, user: None, group: None },
        }
    }

    #[test]
    fn a_socket_of_the_network_takes_connections_before_anybody_accepts() {
        let spare = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = spare.local_addr().unwrap();
        drop(spare);
        let socket = at(ListenAddress::Network(address));
        let made = listen(&socket).unwrap();
        TcpStream::connect(address).unwrap();
        let second = listen(&socket).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(made);
        listen(&socket).unwrap();
    }

    #[test]
    fn a_path_is_taken_when_nobody_listens_there_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        let socket = at(ListenAddress::Path(path.to_str().unwrap().to_owned()));
        let made = listen(&socket).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(listen(&socket).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(made);
        let made = listen(&socket).unwrap();
        drop(made);
        forget(&socket.label());
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&socket).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        forget(&socket.label());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious", "it is no socket");
    }
}
