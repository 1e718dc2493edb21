//! What is known of a peer that does not answer: told by /proc, for the error's text.

use std::borrow::Borrow;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::error::PeerState;

/// proc(5), the kernel's include/linux/sched.h: it closes its files, and is as good as ended.
const PF_EXITING: u64 = 4;

/// What became of the monitor at `path` behind which the process `pid` listened.
#[must_use]
pub fn state(path: &Path, pid: Option<i32>, greeted: bool) -> PeerState {
    state_among(Sockets::look, path, pid, greeted)
}

/// The same, with the kernel's table of sockets from wherever the caller has it.
pub(super) fn state_among<T: Borrow<Sockets>>(
    sockets: impl Fn() -> T,
    path: &Path,
    pid: Option<i32>,
    greeted: bool,
) -> PeerState {
    match pid.map(process_state) {
        Some(PeerState::Silent(_)) | None if !greeted && sockets().borrow().is_held(path) => {
            PeerState::HeldByAnother
        }
        Some(state) => state,
        None => PeerState::Unknown,
    }
}

/// The state of a process, as far as it explains a silence.
#[must_use]
pub fn process_state(pid: i32) -> PeerState {
    // One read: a listing looks at each guest, and the kernel makes the whole text each time.
    let mut buffer = [0; 1024];
    let Ok(size) = File::open(format!("/proc/{pid}/stat")).and_then(|mut f| f.read(&mut buffer))
    else {
        return PeerState::Gone(pid);
    };
    let stat = String::from_utf8_lossy(buffer.get(..size).unwrap_or_default());
    // The second field, in parentheses, is the process's own choice and may hold anything.
    let mut fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let state = fields.next().and_then(|field| field.chars().next());
    let flags = fields.nth(5).and_then(|field| field.parse().ok());
    if flags.is_some_and(|flags: u64| flags & PF_EXITING != 0) {
        return PeerState::Zombie(pid);
    }
    match state {
        Some('T' | 't') => PeerState::Stopped(pid),
        Some('Z' | 'X') => PeerState::Zombie(pid),
        _ => PeerState::Silent(pid),
    }
}

/// The Unix sockets of this network namespace at one moment.
pub(super) struct Sockets(String);

impl Sockets {
    /// Reads the kernel's table; empty if it cannot be read.
    pub(super) fn look() -> Self {
        Self(fs::read_to_string("/proc/net/unix").unwrap_or_default())
    }

    /// Whether somebody's connection to the socket was accepted: ours that waits for its greeting
    /// was not, because a monitor takes one client at a time.
    fn is_held(&self, path: &Path) -> bool {
        const CONNECTED: &str = "03";
        let Some(path) = path.to_str() else {
            return false;
        };
        self.0.lines().skip(1).any(|line| {
            line.strip_suffix(path).is_some_and(|head| {
                head.ends_with(' ') && head.split_whitespace().nth(5) == Some(CONNECTED)
            })
        })
    }
}
