//! What came and nobody has wanted yet, in order, up to a bound.

use std::collections::VecDeque;

use super::message::{Kind, Message};

/// So many events are kept for those who will listen; older ones are dropped, and counted.
pub const MAX_EVENTS: usize = 1024;

/// A message that nobody has wanted yet.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) message: Message,
    /// The number of the command that it answers.
    pub(super) owner: Option<u64>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Shelf {
    /// In bytes.
    limit: usize,
    kept: VecDeque<Kept>,
    bytes: usize,
    events: usize,
    lost_events: u64,
    lost_replies: u64,
}

impl Shelf {
    /// Keeps about `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: VecDeque::new(),
            bytes: 0,
            events: 0,
            lost_events: 0,
            lost_replies: 0,
        }
    }

    /// How many events were dropped for want of room.
    pub(super) fn lost_events(&self) -> u64 {
        self.lost_events
    }

    /// How many replies were.
    pub(super) fn lost_replies(&self) -> u64 {
        self.lost_replies
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// The replies that no command waited for.
    pub(super) fn ownerless_replies(&mut self) -> impl Iterator<Item = &mut Kept> {
        let is_reply = |kept: &&mut Kept| matches!(kept.message.kind, Kind::Reply { .. });
        let ownerless = self.kept.iter_mut().filter(|kept| kept.owner.is_none());
        ownerless.filter(is_reply)
    }

    pub(super) fn put(&mut self, kept: Kept) {
        self.bytes += kept.message.text().len();
        self.events += usize::from(is_event(&kept));
        self.kept.push_back(kept);
        self.shed();
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Message> {
        let Kept { message, .. } = self.kept.remove(place)?;
        self.bytes -= message.text().len();
        self.events -= usize::from(matches!(message.kind, Kind::Event(_)));
        Some(message)
    }

    /// Drops the oldest: of too many events the oldest event, of too many bytes or replies
    /// whatever is oldest. The newest always stays.
    fn shed(&mut self) {
        while self.kept.len() > 1 {
            let too_large = self.bytes > self.limit || self.kept.len() > 2 * MAX_EVENTS;
            let place = if too_large {
                Some(0)
            } else if self.events > MAX_EVENTS {
                self.kept.iter().position(is_event)
            } else {
                None
            };
            let Some(dropped) = place.and_then(|place| self.remove(place)) else {
                return;
            };
            if matches!(dropped.kind, Kind::Event(_)) {
                self.lost_events += 1;
            } else {
                self.lost_replies += 1;
            }
        }
    }
}

fn is_event(kept: &Kept) -> bool {
    matches!(kept.message.kind, Kind::Event(_))
}
