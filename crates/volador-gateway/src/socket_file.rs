//! [`SocketFile`]: the file of a Unix socket that we listen on, from bind to removal.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net as unix,
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::listener::BACKLOG;

/// A socket file that goes when its listener goes, if it is still the one that was made: whoever moved it away, and
/// bound there anew, keeps theirs.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode. No other file has them while the listener is open, so this is to be dropped before it.
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds `path` and listens. With a `mode`, the file has these permissions before anybody can connect.
    pub(crate) fn bind(path: &Path, mode: Option<u32>) -> io::Result<(Self, unix::UnixListener)> {
        clear(path)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = Self { path: path.to_owned(), identity: identity(path)? };
        if let Some(mode) = mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        rustix::net::listen(&socket, BACKLOG)?;
        Ok((file, socket.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // It may be gone by now; there is nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket file that a killed server has left behind. Only a refused connection tells that nobody listens:
/// every other answer may come of a server that lives, and is too busy, another user's or of another kind.
fn clear(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        return Ok(());
    }
    // A blocking one would wait for a server that has no room for another connection.
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        // Its server has removed it at this moment.
        Err(Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(Errno::ADDRINUSE.into()),
        Err(error) => Err(error.into()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use tempfile::TempDir;

    use super::*;

    fn place() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        (folder, path)
    }

    /// In a thread, since it must not wait.
    fn refused(path: &Path) -> io::Error {
        let (path, (sender, receiver)) = (path.to_owned(), mpsc::channel());
        thread::spawn(move || {
            // Root may connect to any socket.
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::DAC_OVERRIDE);
            set_capabilities(None, sets).unwrap();
            sender.send(SocketFile::bind(&path, None)).unwrap();
        });
        receiver.recv_timeout(Duration::from_secs(5)).expect("it waits").expect_err("it was bound")
    }

    #[test]
    fn a_file_that_a_killed_server_has_left_is_replaced_and_goes_with_its_listener() {
        let (_folder, path) = place();
        drop(unix::UnixListener::bind(&path).unwrap());
        let (file, _listener) = SocketFile::bind(&path, None).unwrap();
        unix::UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_has_the_permissions_that_were_asked_for() {
        for mode in [0o600, 0o660, 0o666] {
            let (_folder, path) = place();
            let (_file, _listener) = SocketFile::bind(&path, Some(mode)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            unix::UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn a_server_that_is_too_busy_to_accept_keeps_its_socket() {
        let (_folder, path) = place();
        let server = unix::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&server, 0).unwrap();
        let _waiting = unix::UnixStream::connect(&path).unwrap();
        assert_eq!(refused(&path).kind(), io::ErrorKind::AddrInUse);
        server.accept().unwrap();
        unix::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_server_that_we_may_not_connect_to_keeps_its_socket() {
        let (_folder, path) = place();
        let _server = unix::UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        assert_eq!(refused(&path).kind(), io::ErrorKind::PermissionDenied);
        assert!(path.exists());
    }

    #[test]
    fn a_socket_of_another_kind_is_left_alone() {
        let (_folder, path) = place();
        let _log = unix::UnixDatagram::bind(&path).unwrap();
        assert_eq!(refused(&path).kind(), io::ErrorKind::AddrInUse);
        unix::UnixDatagram::unbound().unwrap().connect(&path).unwrap();
    }

    #[test]
    fn the_file_of_a_successor_stays() {
        let (_folder, path) = place();
        let (file, _listener) = SocketFile::bind(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = unix::UnixListener::bind(&path).unwrap();
        drop(file);
        unix::UnixStream::connect(&path).unwrap();
    }
}
