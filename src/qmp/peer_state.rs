//! What is known of a peer that does not answer, for the error's text.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::path::Path;

use super::error::PeerState;
use crate::process;
use crate::sockets::{Holders, SocketFile, Table};

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
    let state = pid.map_or(PeerState::Unknown, process_state);
    let may_be_held = matches!(state, PeerState::Silent(_) | PeerState::Unknown) && !greeted;
    if !may_be_held {
        return state;
    }
    sockets().borrow().holder(path).unwrap_or(state)
}

/// The state of a process, as far as it explains a silence.
#[must_use]
pub fn process_state(pid: i32) -> PeerState {
    match process::read_stat(pid) {
        _ if pid <= 0 => PeerState::Unknown,
        Ok(None) => PeerState::Gone(pid),
        Ok(Some(stat)) if stat.exiting || stat.is_zombie() => PeerState::Zombie(pid),
        Ok(Some(stat)) if stat.is_stopped() => PeerState::Stopped(pid),
        // What cannot be read is not gone.
        Err(_) | Ok(Some(_)) => PeerState::Silent(pid),
    }
}

/// The Unix sockets of this network namespace at one moment.
pub(super) struct Sockets {
    table: Table,
    /// The clients of whichever monitors were asked for; found when one is.
    holders: OnceCell<Holders>,
}

impl Sockets {
    /// Reads the kernel's table; empty if it cannot be read.
    pub(super) fn look() -> Self {
        Self {
            table: Table::read().unwrap_or_default(),
            holders: OnceCell::new(),
        }
    }

    /// Who has a connection that the monitor accepted, if anybody. Ours that waits for its greeting
    /// was not accepted: a monitor takes one client at a time.
    fn holder(&self, path: &Path) -> Option<PeerState> {
        let file = SocketFile::at(path).ok().flatten()?;
        let client = *self.table.clients(file, path).first()?;
        let holders = self
            .holders
            .get_or_init(|| Holders::of(&self.table.all_clients()));
        Some(PeerState::HeldByAnother(holders.first(client)))
    }
}
