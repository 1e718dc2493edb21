//! Who holds the lock of a pid file, in the kernel's words.

use std::io::Read;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::Doubt;
use crate::errno;

/// A process id has at most ten digits; what is longer was not written by QEMU.
const MOST_BYTES: u64 = 16;

/// What a look at a pid file shows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The process that holds its write lock.
    pub(super) holder: Option<i32>,
    /// The number that it contains: a hint, never a proof. Read only where nobody holds it.
    pub(super) named: Option<i32>,
    /// When it was last written, in seconds since 1970.
    pub(super) written: Option<i64>,
}

/// Looks at a pid file; a missing one is nobody's.
pub(super) fn look(pidfile: &Path) -> Result<Seen, Doubt> {
    let cannot = |errno| {
        let why = errno::text(errno);
        Doubt(format!(
            "the pid file {} cannot be read: {why}",
            pidfile.display()
        ))
    };
    // A FIFO in its place must not block.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match errno::again(|| open(pidfile, flags, Mode::empty())) {
        Ok(file) => file,
        // ENXIO: a socket lies there, which QEMU did not make.
        // No file can have a name that is too long.
        Err(Errno::ENOENT | Errno::ENXIO | Errno::ENAMETOOLONG) => return Ok(Seen::default()),
        Err(errno) => return Err(cannot(errno)),
    };
    let mut lock = libc::flock {
        // Only a write lock is in the way of a read lock: a reader's own is not QEMU's.
        l_type: narrow(libc::F_RDLCK),
        l_whence: narrow(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    errno::again(|| fcntl(&file, FcntlArg::F_GETLK(&mut lock))).map_err(cannot)?;
    if lock.l_type != narrow(libc::F_UNLCK) {
        if lock.l_pid > 0 {
            return Ok(Seen {
                holder: Some(lock.l_pid),
                ..Seen::default()
            });
        }
        // The kernel says 0 for a holder that has no number here, -1 for a lock of open files.
        return Err(Doubt(format!(
            "the pid file {} is locked by a process that cannot be seen from here (another \
             process namespace?)",
            pidfile.display()
        )));
    }
    let status = errno::again(|| fstat(&file)).map_err(cannot)?;
    if status.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Ok(Seen::default());
    }
    let mut text = String::new();
    let read = std::fs::File::from(file)
        .take(MOST_BYTES)
        .read_to_string(&mut text);
    Ok(Seen {
        holder: None,
        named: read
            .ok()
            .and_then(|_| text.trim().parse().ok())
            .filter(|pid| *pid > 0),
        written: Some(status.st_mtime),
    })
}

fn narrow(constant: i32) -> libc::c_short {
    libc::c_short::try_from(constant).unwrap_or_default()
}

/// Whether a process has the pid file open though it was removed: QEMU keeps it for its lock.
pub(super) fn has_removed(pid: i32, pidfile: &Path) -> Result<bool, Doubt> {
    let cannot = |error: &std::io::Error| {
        Doubt(format!(
            "the files that process {pid} has open cannot be read: {error}"
        ))
    };
    let (Some(folder), Some(name)) = (pidfile.parent(), pidfile.file_name()) else {
        return Ok(false);
    };
    let mut removed = own_name(folder).join(name).into_os_string();
    removed.push(" (deleted)");
    let links = match std::fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(links) => links,
        Err(error) if is_gone(&error) => return Ok(false),
        Err(error) => return Err(cannot(&error)),
    };
    for link in links {
        match link.and_then(|link| std::fs::read_link(link.path())) {
            Ok(target) if target.as_os_str() == removed => return Ok(true),
            Ok(_) => {}
            // It was closed meanwhile.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(cannot(&error)),
        }
    }
    Ok(false)
}

/// A path as the kernel shows it, though its end may not be there: /var/run is a link on Debian.
fn own_name(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(found), ..) => found,
        (Err(_), Some(parent), Some(name)) => own_name(parent).join(name),
        _ => path.to_owned(),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}
