//! The kernel's table of Unix sockets (`sock_diag(7)`).

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use super::SocketFile;

// linux/sock_diag.h, linux/unix_diag.h, linux/netlink.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SHOW_NAME_VFS_PEER: u32 = 1 | 2 | 4;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_PEER: u16 = 2;
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;
/// The kernel fills at most this much at once.
const ROOM: usize = 32 << 10;

/// What a socket does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// It takes connections.
    Listening,
    /// It has one.
    Connected,
    /// Neither.
    Other,
}

/// One socket of the table.
#[derive(Debug)]
struct Entry {
    inode: u32,
    which: Which,
    /// Device and inode of the file that it is bound to, or that it was accepted from.
    file: Option<(u32, u32)>,
    /// The path as whoever bound it spelled it.
    name: Option<PathBuf>,
    /// The inode of the socket at the other end; zero while that is not accepted.
    peer: Option<u32>,
}

/// The Unix sockets of this network namespace at one moment.
#[derive(Debug, Default)]
pub struct Table(Vec<Entry>);

impl Table {
    /// Reads the kernel's table.
    ///
    /// # Errors
    /// The errno; of a kernel without `unix_diag`, ENOENT.
    pub fn read() -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kernel = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkSockDiag,
        )?;
        send(kernel.as_raw_fd(), &request(), MsgFlags::empty())?;
        let mut entries = Vec::new();
        while receive(&kernel, &mut entries)? {}
        Ok(Self(entries))
    }

    /// What one answer of the kernel tells, as far as it goes.
    ///
    /// # Errors
    /// EBADMSG: it has another form; else the kernel's own error.
    pub fn parse(answer: &[u8]) -> Result<Self, Errno> {
        let mut entries = Vec::new();
        take(answer, &mut entries)?;
        Ok(Self(entries))
    }

    /// The inode of the socket that listens at a file.
    pub(super) fn listener(&self, file: SocketFile, path: &Path) -> Option<u32> {
        let listening = |entry: &&Entry| entry.which == Which::Listening;
        let mut listeners = self.0.iter().filter(listening);
        listeners
            .find(|entry| entry.is_at(file, path))
            .map(|entry| entry.inode)
    }

    /// The inodes of the sockets that listen and were bound by exactly this name.
    pub(super) fn bound_to(&self, name: &Path) -> Vec<u32> {
        let bound =
            |entry: &&Entry| entry.which == Which::Listening && entry.name.as_deref() == Some(name);
        self.0
            .iter()
            .filter(bound)
            .map(|entry| entry.inode)
            .collect()
    }

    /// The inodes of everybody's clients.
    #[must_use]
    pub fn all_clients(&self) -> Vec<u32> {
        let accepted = |entry: &&Entry| entry.which == Which::Connected && entry.file.is_some();
        self.0
            .iter()
            .filter(accepted)
            .filter_map(|entry| entry.peer)
            .collect()
    }

    /// The inodes of the clients whose connections to the socket at `path` were accepted.
    ///
    /// One that waits for its turn is none of them.
    #[must_use]
    pub fn clients(&self, file: SocketFile, path: &Path) -> Vec<u32> {
        self.0
            .iter()
            .filter(|entry| entry.which == Which::Connected && entry.is_at(file, path))
            .map(|entry| entry.peer.unwrap_or_default())
            .collect()
    }
}

impl Entry {
    /// Whether it is bound to a file. Some file systems (overlay, btrfs) give `stat` another
    /// device than the kernel has inside: there the name that it was bound by is looked up.
    fn is_at(&self, file: SocketFile, path: &Path) -> bool {
        let Some(bound) = self.file else { return false };
        if bound == kernels(file) {
            return true;
        }
        let Some(name) = &self.name else { return false };
        name.file_name() == path.file_name()
            && name.is_absolute()
            && SocketFile::at(name) == Ok(Some(file))
    }
}

/// Device and inode as the kernel has them inside; of an inode it tells the lower half.
fn kernels(file: SocketFile) -> (u32, u32) {
    let (major, minor) = (libc::major(file.device), libc::minor(file.device));
    let inode = file.inode & u64::from(u32::MAX);
    (
        major << 20 | minor,
        u32::try_from(inode).unwrap_or_default(),
    )
}

fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 24);
    bytes.extend(40_u32.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port
    // AF_UNIX, protocol 0, padding; all states; any inode; what to show; no cookie
    bytes.extend([1, 0, 0, 0]);
    for field in [u32::MAX, 0, SHOW_NAME_VFS_PEER, 0, 0] {
        bytes.extend(field.to_ne_bytes());
    }
    bytes
}

/// Takes what the kernel says next; false if that was the last of it.
fn receive(kernel: &OwnedFd, entries: &mut Vec<Entry>) -> Result<bool, Errno> {
    let mut buffer = vec![0; ROOM];
    let size = match recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
        Err(Errno::EINTR) => return Ok(true),
        other => other?,
    };
    take(buffer.get(..size).ok_or(Errno::EMSGSIZE)?, entries)
}

fn take(mut rest: &[u8], entries: &mut Vec<Entry>) -> Result<bool, Errno> {
    while !rest.is_empty() {
        let length = usize::try_from(u32_at(rest, 0)?).map_err(|_| Errno::EBADMSG)?;
        let message = rest.get(..length).ok_or(Errno::EBADMSG)?;
        match u16_at(rest, 4)? {
            NLMSG_DONE => return Ok(false),
            NLMSG_ERROR => {
                let number = i32::from_ne_bytes(u32_at(message, HEADER)?.to_ne_bytes());
                return Err(Errno::from_raw(number.saturating_neg()));
            }
            _ => entries.push(entry(message.get(HEADER..).ok_or(Errno::EBADMSG)?)?),
        }
        // Messages begin at multiples of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

fn entry(message: &[u8]) -> Result<Entry, Errno> {
    let which = match message.get(2) {
        Some(&LISTEN) => Which::Listening,
        Some(&ESTABLISHED) => Which::Connected,
        _ => Which::Other,
    };
    let attributes = attributes(message.get(MESSAGE..).ok_or(Errno::EBADMSG)?);
    let number = |kind: u16, offset| {
        let value = attributes.get(&kind)?;
        u32_at(value, offset).ok()
    };
    let name = attributes.get(&UNIX_DIAG_NAME);
    Ok(Entry {
        inode: u32_at(message, 4)?,
        which,
        file: number(UNIX_DIAG_VFS, 4).zip(number(UNIX_DIAG_VFS, 0)),
        name: name.and_then(|name| path(name)),
        peer: number(UNIX_DIAG_PEER, 0),
    })
}

/// The path of a name; an abstract name begins with a NUL, and has none.
fn path(name: &[u8]) -> Option<PathBuf> {
    let text = name.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(text)))
}

fn attributes(mut rest: &[u8]) -> HashMap<u16, &[u8]> {
    let mut found = HashMap::new();
    while let (Ok(length), Ok(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(4..length) else {
            break;
        };
        found.insert(kind, value);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Errno> {
    let part = bytes
        .get(offset..offset + 2)
        .and_then(|part| part.try_into().ok());
    part.map(u16::from_ne_bytes).ok_or(Errno::EBADMSG)
}

fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Errno> {
    let part = bytes
        .get(offset..offset + 4)
        .and_then(|part| part.try_into().ok());
    part.map(u32::from_ne_bytes).ok_or(Errno::EBADMSG)
}
