//! What went wrong, as the error that says so.

use std::fmt::Arguments;
use std::os::fd::RawFd;
use std::path::Path;

use nix::errno::Errno;

use super::error::{ErrorKind, PeerState, QmpError};
use super::foreign_text::printable;
use super::message::Message;
use super::secrets;
use super::transport::{Ended, Wait};
use crate::errno;

/// A reply that says no, as the error it is; `hidden` are secrets besides those in `arguments`.
pub(super) fn accept(
    reply: Message,
    command: &str,
    arguments: Option<&str>,
    hidden: &[String],
) -> Result<Message, ErrorKind> {
    let Some((class, desc)) = reply.refusal() else {
        return Ok(reply);
    };
    let mut secrets = secrets::find(arguments);
    secrets.extend_from_slice(hidden);
    Err(ErrorKind::Refused {
        command: command.to_owned(),
        class: printable(&secrets::scrub(class, &secrets)),
        desc: printable(&secrets::scrub(desc, &secrets)),
    })
}

pub(super) fn at(path: &Path, kind: ErrorKind) -> QmpError {
    QmpError::new(printable(&path.display().to_string()), kind)
}

pub(super) fn ended_kind(
    ended: Ended,
    doing: Arguments<'_>,
    wait: &Wait<'_>,
    peer: impl FnOnce() -> PeerState,
) -> ErrorKind {
    let doing = doing.to_string();
    match ended {
        Ended::Interrupted => ErrorKind::Interrupted,
        Ended::TimedOut => ErrorKind::TimedOut {
            doing,
            limit: wait.deadline.limit(),
            peer: peer(),
        },
        Ended::OtherProcess(pid) => ErrorKind::OtherProcess { pid },
        Ended::Closed => ErrorKind::Lost {
            doing,
            why: "it was closed here".to_owned(),
            peer: PeerState::Unknown,
        },
        Ended::Failed(errno) => ErrorKind::Lost {
            doing,
            why: errno::text(errno),
            peer: peer(),
        },
    }
}

/// Whether a failed write is the fault of the descriptors to pass, and not of the connection.
pub(super) fn is_callers(errno: Errno, fds: &[RawFd]) -> bool {
    let blames = [
        Errno::EBADF,
        Errno::EINVAL,
        Errno::ETOOMANYREFS,
        Errno::EMSGSIZE,
    ];
    !fds.is_empty() && blames.contains(&errno)
}

pub(super) fn why_not_connected(path: &Path, errno: Errno) -> String {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::metadata(path).map(|meta| meta.file_type().is_socket());
    match errno {
        Errno::ENOENT => "there is no such socket".to_owned(),
        Errno::ECONNREFUSED if matches!(is_socket, Ok(false)) => "it is not a socket".to_owned(),
        Errno::ECONNREFUSED => "nobody listens there".to_owned(),
        Errno::EPROTOTYPE => "it is a socket of another type".to_owned(),
        errno => errno::text(errno),
    }
}
