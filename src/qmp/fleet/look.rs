//! What the loop sees of a guest from outside, and what it waits for.

use nix::sys::epoll::{EpollEvent, EpollFlags};

use crate::qmp::error::PeerState;

/// What /proc shows of a process.
pub(super) enum ProcessState {
    Runs,
    Stopped,
    StillStopped(i32),
}

pub(super) fn event(index: usize, writing: bool) -> EpollEvent {
    let mut flags = EpollFlags::EPOLLIN;
    flags.set(EpollFlags::EPOLLOUT, writing);
    EpollEvent::new(flags, u64::try_from(index).unwrap_or(u64::MAX))
}

pub(super) fn stopped(pid: i32) -> String {
    PeerState::Stopped(pid).to_string()
}
