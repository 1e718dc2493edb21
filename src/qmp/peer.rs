//! What is known of a peer that does not answer: told by /proc, for the error's text.

use std::fs;
use std::path::Path;

use super::error::PeerState;

/// What became of the monitor at `path` behind which the process `pid` listened.
#[must_use]
pub fn state(path: &Path, pid: Option<i32>, greeted: bool) -> PeerState {
    let process = pid.map(process_state);
    match process {
        Some(PeerState::Silent(_)) | None if !greeted && is_held(path) => PeerState::HeldByAnother,
        Some(state) => state,
        None => PeerState::Unknown,
    }
}

/// The state of a process, as far as it explains a silence.
#[must_use]
pub fn process_state(pid: i32) -> PeerState {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return PeerState::Gone(pid);
    };
    // The second field, in parentheses, is the process's own choice and may hold anything.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    match state {
        Some('T' | 't') => PeerState::Stopped(pid),
        Some('Z' | 'X') => PeerState::Zombie(pid),
        _ => PeerState::Silent(pid),
    }
}

/// Whether somebody's connection to the socket was accepted: ours that waits for its greeting
/// was not, because a monitor takes one client at a time.
fn is_held(path: &Path) -> bool {
    const CONNECTED: &str = "03";
    let Ok(table) = fs::read_to_string("/proc/net/unix") else {
        return false;
    };
    let Some(path) = path.to_str() else {
        return false;
    };
    table.lines().skip(1).any(|line| {
        line.strip_suffix(path).is_some_and(|head| {
            head.ends_with(' ') && head.split_whitespace().nth(5) == Some(CONNECTED)
        })
    })
}
