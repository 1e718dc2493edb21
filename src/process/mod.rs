//! The QEMU process of an instance: is it there, what does it do, how does it end.
//!
//! QEMU holds a POSIX write lock on its `-pidfile` for as long as it lives, and the kernel tells
//! who holds it: whatever the file contains, and whatever a process writes into its own command
//! line. Where the file was removed, whoever listens on the monitor's socket is the witness; and
//! where that was removed, too, whoever bound a socket to its name and has the removed pid file open.
//! There are three answers: yes, no, and "cannot tell" ([`Doubt`]). Only ENOENT and ESRCH mean no.

mod end;
mod frozen;
mod lock;
mod stat;
mod words;

use std::fmt;
use std::path::Path;

use crate::sockets;
pub use end::{Ending, Handle, end};
pub use stat::{Stat, parse as parse_stat, read_stat};
pub use words::{Values, parse as parse_command_line, values};

/// Why it cannot be told whether something is there: what could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt(pub String);

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Doubt {}

/// How the kernel says that a process is the instance's QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// It holds the lock of the pid file.
    Lock,
    /// It listens on the monitor's socket.
    Listener,
    /// The pid file names it, it began before the file was written, and it is on its way out: its
    /// locks go before its TAP devices and disks do.
    Exiting,
}

/// The QEMU of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its process id, as seen from here.
    pub pid: i32,
    /// How it is known.
    pub witness: Witness,
}

/// What a process is doing, as far as that matters to somebody who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It runs, or sleeps until it has something to do.
    Running,
    /// Stopped by a signal or a debugger.
    Stopped,
    /// Held by the freezer of its cgroup.
    Frozen,
    /// On its way out, or its main thread has ended.
    Exiting,
    /// It is not there any more.
    Gone,
}

impl Condition {
    /// Its word for people and for Python.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
            Self::Exiting => "exiting",
            Self::Gone => "gone",
        }
    }
}

/// The process of the QEMU whose `-pidfile` and QMP socket these are; None if there is none.
///
/// # Errors
/// [`Doubt`] where nobody is found and something could not be read, or where whoever is found
/// cannot be seen from here.
pub fn find(pidfile: &Path, monitor: &Path) -> Result<Option<Found>, Doubt> {
    let lock = lock::look(pidfile);
    if let Ok(lock::Seen {
        holder: Some(pid), ..
    }) = lock
    {
        return Ok(Some(Found {
            pid,
            witness: Witness::Lock,
        }));
    }
    // The locks of a dying process go first, while it still listens and answers nobody.
    let leaving = lock.as_ref().map_or(Ok(None), exiting);
    if let Ok(Some(found)) = leaving {
        return Ok(Some(found));
    }
    // A lock that cannot be read leaves the socket: whoever listens there is a yes all the same. We
    // are no QEMU, whatever we listen on.
    let listener = sockets::listener(monitor);
    let ourselves = i32::try_from(std::process::id()).unwrap_or_default();
    match listener {
        Ok(Some(pid)) if pid != ourselves => {
            return Ok(Some(Found {
                pid,
                witness: Witness::Listener,
            }));
        }
        _ => {}
    }
    lock?;
    leaving?;
    listener?;
    without_files(pidfile, monitor)
}

/// A QEMU that lives on after both files were taken away (a cleaner of /run): it has its disks, and
/// a second one must not be started beside it.
///
/// The kernel keeps the name that a socket was bound to; that alone is not enough, for a proxy that
/// somebody put before the monitor has it, too, and may stay when QEMU has ended.
fn without_files(pidfile: &Path, monitor: &Path) -> Result<Option<Found>, Doubt> {
    for pid in sockets::bound_to_name(monitor)? {
        if lock::has_removed(pid, pidfile)? {
            return Ok(Some(Found {
                pid,
                witness: Witness::Listener,
            }));
        }
    }
    Ok(None)
}

/// The process that the file names, if it is on its way out and may well have written it.
fn exiting(seen: &lock::Seen) -> Result<Option<Found>, Doubt> {
    let (Some(pid), Some(written)) = (seen.named, seen.written) else {
        return Ok(None);
    };
    let Some(stat) = read_stat(pid)? else {
        return Ok(None);
    };
    // A stranger who was given the number later began after the file was written.
    if !stat.is_leaving() || !stat.began_before(written)? {
        return Ok(None);
    }
    Ok(Some(Found {
        pid,
        witness: Witness::Exiting,
    }))
}

/// What process `pid` is doing.
///
/// # Errors
/// [`Doubt`]: /proc does not tell.
pub fn condition(pid: i32) -> Result<Condition, Doubt> {
    let Some(stat) = read_stat(pid)? else {
        return Ok(Condition::Gone);
    };
    Ok(if stat.has_ended() {
        Condition::Gone
    } else if stat.exiting || stat.is_zombie() {
        Condition::Exiting
    } else if stat.is_stopped() {
        Condition::Stopped
    } else if frozen::is_frozen(pid) {
        Condition::Frozen
    } else {
        Condition::Running
    })
}
