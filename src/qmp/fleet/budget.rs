//! What all guests may take together: descriptors, and memory for their answers.

use nix::sys::resource::{Resource, getrlimit};

/// How many are asked at once: half of the descriptors is for the other threads of this process.
pub(super) fn most_at_once() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(soft / 2).unwrap_or(usize::MAX).max(1)
}

/// Whoever holds most pays where all hold too much: it is never one with an answer like any other.
#[derive(Debug)]
pub(super) struct Budget {
    held: Vec<usize>,
    total: usize,
    most: usize,
}

impl Budget {
    pub(super) fn new(guests: usize, most: usize) -> Self {
        Self {
            held: vec![0; guests],
            total: 0,
            most,
        }
    }

    /// Notes how many bytes are held of what a guest said.
    pub(super) fn set(&mut self, guest: usize, bytes: usize) {
        if let Some(held) = self.held.get_mut(guest) {
            let before = std::mem::replace(held, bytes);
            self.total = self.total.saturating_sub(before).saturating_add(bytes);
        }
    }

    /// The guest of which most is held, if all hold more than they may.
    pub(super) fn who_holds_too_much(&self) -> Option<usize> {
        if self.total <= self.most {
            return None;
        }
        let held = self.held.iter().enumerate();
        held.max_by_key(|(_, bytes)| **bytes)
            .map(|(guest, _)| guest)
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }
}
