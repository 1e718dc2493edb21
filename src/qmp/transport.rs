//! The Unix socket: connect, read, write with descriptors, and waits that can be ended.

use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt,
    recv, send, sendmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::deadline::{Deadline, Interrupt, SLICE};

/// What may end a wait.
pub struct Wait<'a> {
    /// The call's limit.
    pub deadline: Deadline,
    interrupt: &'a dyn Interrupt,
    closed: Option<&'a AtomicBool>,
    looked: Cell<Instant>,
    /// The process that makes the call.
    pid: u32,
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The deadline passed.
    TimedOut,
    /// A signal handler said so.
    Interrupted,
    /// The connection was closed by another thread.
    Closed,
    /// A signal handler forked, and this is the child of the process that made the call.
    OtherProcess(u32),
    /// The system call failed.
    Failed(Errno),
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// There is something to read, or the other side hung up.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

impl<'a> Wait<'a> {
    /// A wait up to `deadline`.
    #[must_use]
    pub fn new(deadline: Deadline, interrupt: &'a dyn Interrupt) -> Self {
        Self {
            deadline,
            interrupt,
            closed: None,
            looked: Cell::new(deadline.start()),
            pid: std::process::id(),
        }
    }

    /// The same wait, ended too when `closed` becomes true.
    #[must_use]
    pub fn until_closed<'b>(&'b self, closed: &'b AtomicBool) -> Wait<'b> {
        Wait {
            deadline: self.deadline,
            interrupt: self.interrupt,
            closed: Some(closed),
            looked: Cell::new(self.looked.get()),
            pid: self.pid,
        }
    }

    /// The same wait, of at most `limit` from now.
    #[must_use]
    pub fn at_most(&self, limit: Duration) -> Wait<'_> {
        Wait {
            deadline: Deadline::after(limit.min(self.deadline.remaining())),
            interrupt: self.interrupt,
            closed: self.closed,
            looked: Cell::new(self.looked.get()),
            pid: self.pid,
        }
    }

    /// Asks the interrupt, and looks whether the connection was closed or the time is over; gives
    /// the time that is left.
    ///
    /// # Errors
    /// Why the wait is over.
    pub fn look(&self) -> Result<Duration, Ended> {
        let now = Instant::now();
        self.looked.set(now);
        self.interrupt.check().map_err(|_| Ended::Interrupted)?;
        // A signal handler may fork: the child must not read the parent's reply.
        if std::process::id() != self.pid {
            return Err(Ended::OtherProcess(self.pid));
        }
        if self
            .closed
            .is_some_and(|closed| closed.load(Ordering::Acquire))
        {
            return Err(Ended::Closed);
        }
        self.remaining(now)
    }

    /// Looks if it is time to: a peer that never stops sending must not keep signals away.
    pub(super) fn look_now_and_then(&self) -> Result<Duration, Ended> {
        let now = Instant::now();
        if now.saturating_duration_since(self.looked.get()) >= SLICE {
            return self.look();
        }
        self.remaining(now)
    }

    fn remaining(&self, now: Instant) -> Result<Duration, Ended> {
        let remaining = self.deadline.remaining_at(now);
        if remaining.is_zero() {
            return Err(Ended::TimedOut);
        }
        Ok(remaining)
    }

    /// Waits until a socket is ready for one of `events`.
    ///
    /// # Errors
    /// Why the wait is over.
    fn ready(&self, fd: &OwnedFd, events: PollFlags) -> Result<Ready, Ended> {
        let mut remaining = self.look_now_and_then()?;
        loop {
            let mut fds = [PollFd::new(fd.as_fd(), events)];
            // Rounded up, so that the last slice does not spin.
            let millis = remaining.min(SLICE).as_millis() + 1;
            let timeout = PollTimeout::from(u8::try_from(millis).unwrap_or(u8::MAX));
            match poll(&mut fds, timeout) {
                Ok(0) | Err(Errno::EINTR) => remaining = self.look()?,
                Ok(_) => {
                    let [fd] = &fds;
                    let got = fd.revents().unwrap_or(PollFlags::POLLIN);
                    let ended = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
                    return Ok(Ready {
                        read: got.intersects(PollFlags::POLLIN | ended),
                        write: got.intersects(PollFlags::POLLOUT | ended),
                    });
                }
                Err(errno) => return Err(Ended::Failed(errno)),
            }
        }
    }
}

/// The first size of a read; each that is filled makes the next one twice as large.
const SMALL: usize = 4 << 10;
const LARGE: usize = 256 << 10;

/// A connected monitor socket.
#[derive(Debug)]
pub struct Transport {
    fd: OwnedFd,
    path: PathBuf,
    peer_pid: Option<i32>,
    chunk: Vec<u8>,
}

impl Transport {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Ended::TimedOut`] also if the monitor's queue of waiting clients stays full: a plain
    /// connect would hang there, and one that does not block would fail at once with EAGAIN.
    pub fn connect(path: &Path, wait: &Wait<'_>) -> Result<Self, Ended> {
        let (fd, address) = unconnected(path, SockFlag::empty()).map_err(Ended::Failed)?;
        loop {
            let patience = to_kernel(wait.deadline.slice());
            setsockopt(&fd, sockopt::SendTimeout, &patience).map_err(Ended::Failed)?;
            match connect(fd.as_raw_fd(), &address) {
                Ok(()) | Err(Errno::EISCONN) => break,
                Err(Errno::EAGAIN | Errno::EINTR) => drop(wait.look()?),
                Err(errno) => return Err(Ended::Failed(errno)),
            }
        }
        Ok(Self::connected(fd, path))
    }

    /// Connects to the socket at `path`, if that can be done without waiting: None if the
    /// monitor's queue of waiting clients is full.
    ///
    /// # Errors
    /// The errno of what failed.
    pub fn try_connect(path: &Path) -> Result<Option<Self>, Errno> {
        let (fd, address) = unconnected(path, SockFlag::SOCK_NONBLOCK)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => Ok(Some(Self::connected(fd, path))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn connected(fd: OwnedFd, path: &Path) -> Self {
        let peer_pid = getsockopt(&fd, sockopt::PeerCredentials)
            .ok()
            .map(|peer| peer.pid())
            .filter(|pid| *pid > 0);
        Self {
            fd,
            path: path.to_owned(),
            peer_pid,
            chunk: Vec::new(),
        }
    }

    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that listens there; of another process namespace: None.
    #[must_use]
    pub fn peer_pid(&self) -> Option<i32> {
        self.peer_pid
    }

    /// Waits for room to write, or for something to read.
    ///
    /// # Errors
    /// Why the wait is over.
    pub fn ready_to_write(&self, wait: &Wait<'_>) -> Result<Ready, Ended> {
        wait.ready(&self.fd, PollFlags::POLLIN | PollFlags::POLLOUT)
    }

    /// What can be read without waiting: None if nothing is there, empty at the end.
    ///
    /// # Errors
    /// The errno of the read.
    pub fn read(&mut self) -> Result<Option<&[u8]>, Errno> {
        match self.receive() {
            Ok(count) => Ok(self.chunk.get(..count)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Waits for something to read, and reads it; empty at the end.
    ///
    /// # Errors
    /// Why the wait is over.
    pub fn read_in_time(&mut self, wait: &Wait<'_>) -> Result<&[u8], Ended> {
        // A read that waits by itself would spare a system call, and takes longer than both.
        let count = loop {
            wait.ready(&self.fd, PollFlags::POLLIN)?;
            match self.receive() {
                Ok(count) => break count,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(Ended::Failed(errno)),
            }
        };
        Ok(self.chunk.get(..count).unwrap_or_default())
    }

    fn receive(&mut self) -> Result<usize, Errno> {
        if self.chunk.is_empty() {
            self.chunk.resize(SMALL, 0);
        }
        let count = recv(self.fd.as_raw_fd(), &mut self.chunk, MsgFlags::MSG_DONTWAIT)?;
        if count == self.chunk.len() && count < LARGE {
            self.chunk.resize(count * 2, 0);
        }
        Ok(count)
    }

    /// Writes what there is room for, the descriptors with its first byte; 0 if there is none.
    ///
    /// # Errors
    /// The errno of the write.
    pub fn write(&self, bytes: &[u8], fds: &[RawFd]) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let fd = self.fd.as_raw_fd();
        loop {
            let sent = if fds.is_empty() {
                send(fd, bytes, flags)
            } else {
                let rights = [ControlMessage::ScmRights(fds)];
                sendmsg::<UnixAddr>(fd, &[IoSlice::new(bytes)], &rights, flags, None)
            };
            match sent {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(0),
                result => return result,
            }
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A time-out of a socket; none is longer than a slice, and zero would mean for ever.
fn to_kernel(slice: Duration) -> TimeVal {
    let micros = slice.clamp(Duration::from_millis(1), SLICE).as_micros();
    TimeVal::new(0, micros.try_into().unwrap_or(1000))
}

fn unconnected(path: &Path, flags: SockFlag) -> Result<(OwnedFd, UnixAddr), Errno> {
    let address = UnixAddr::new(path)?;
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok((fd, address))
}
