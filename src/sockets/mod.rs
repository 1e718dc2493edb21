//! Who listens on a Unix socket, and who holds a connection to it.
//!
//! The kernel's table of sockets (`sock_diag`) tells device and inode of what a socket is bound
//! to, so it does not matter how its path is spelled; /proc/PID/fd tells whose socket it is.

mod holders;
mod table;

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt,
};

use crate::errno;
use crate::process::Doubt;
pub use holders::Holders;
pub use table::{Table, Which};

/// A socket's file: its device and inode, as `stat` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketFile {
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file at `path`, however that is spelled; None if there is none.
    ///
    /// # Errors
    /// [`Doubt`]: it cannot be looked at.
    pub fn at(path: &Path) -> Result<Option<Self>, Doubt> {
        match std::fs::metadata(path) {
            Ok(found) => Ok(Some(Self {
                device: found.dev(),
                inode: found.ino(),
            })),
            // No file can have a name that is too long.
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENAMETOOLONG) => Ok(None),
                _ => Err(doubt(path, &error.to_string())),
            },
        }
    }
}

fn doubt(path: &Path, why: &str) -> Doubt {
    Doubt(format!(
        "the socket {} cannot be looked at: {why}",
        path.display()
    ))
}

/// The process that listens on the Unix socket at `path`; None if nobody does.
///
/// The kernel's tables are asked first, as they disturb nobody; a connection, which shows in QEMU
/// as a client, is only tried where they know nothing.
///
/// # Errors
/// [`Doubt`]: somebody may listen, or does and cannot be seen from here.
pub fn listener(path: &Path) -> Result<Option<i32>, Doubt> {
    let Some(file) = SocketFile::at(path)? else {
        return Ok(None);
    };
    let known = Table::read()
        .ok()
        .and_then(|table| table.listener(file, path));
    if let Some(pid) = known.and_then(|inode| Holders::of(&[inode]).first(inode)) {
        return Ok(Some(pid));
    }
    by_connecting(path)
}

/// The processes that listen on a socket that was once bound to this name, whatever has become of
/// the file since; none on a kernel that does not tell.
///
/// # Errors
/// [`Doubt`]: somebody listens, and cannot be seen from here; or there is no descriptor or memory
/// left to ask with.
pub fn bound_to_name(path: &Path) -> Result<Vec<i32>, Doubt> {
    let inodes = match Table::read() {
        Ok(table) => table.bound_to(path),
        // Nothing else can tell: what could not be asked for now is not "nobody".
        Err(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)) => {
            return Err(doubt(path, &errno::text(errno)));
        }
        Err(_) => Vec::new(),
    };
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    let holders = Holders::of(&inodes);
    let of = |inode: &u32| {
        holders.first(*inode).ok_or_else(|| {
            doubt(
                path,
                "whoever bound that name cannot be seen from here (another process namespace?)",
            )
        })
    };
    inodes.iter().map(of).collect()
}

/// Who listens, by a connection: the kernel refuses it where nobody listens, and tells who does.
fn by_connecting(path: &Path) -> Result<Option<i32>, Doubt> {
    let cannot = |errno| doubt(path, &errno::text(errno));
    let address = match UnixAddr::new(path) {
        Ok(address) => address,
        // Nobody can have bound a socket to it.
        Err(Errno::ENAMETOOLONG) => return Ok(None),
        Err(errno) => return Err(cannot(errno)),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(cannot)?;
    match patiently(|| errno::again(|| connect(fd.as_raw_fd(), &address))) {
        Ok(()) => {}
        // ECONNREFUSED also says that the file is no socket.
        Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EPROTOTYPE) => return Ok(None),
        Err(Errno::EAGAIN) => {
            return Err(doubt(
                path,
                "somebody listens there, and takes no more clients",
            ));
        }
        Err(errno) => return Err(cannot(errno)),
    }
    let credentials = getsockopt(&fd, sockopt::PeerCredentials).map_err(cannot)?;
    if credentials.pid() > 0 {
        return Ok(Some(credentials.pid()));
    }
    let why = "whoever listens there cannot be seen from here (another process namespace?)";
    Err(doubt(path, why))
}

/// Tries again for moments where there is no room for one more client: a process that is on its way
/// out still listens for as long as it takes to close its files.
fn patiently(mut attempt: impl FnMut() -> nix::Result<()>) -> nix::Result<()> {
    for _ in 0..10 {
        match attempt() {
            Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    attempt()
}
