//! The messages that came and nobody has wanted yet, in order, up to a bound.

use std::collections::VecDeque;

use crate::qmp::message::{Kind, Message};

/// So many events are queued for those who will listen; older ones are dropped, and counted.
pub const MAX_EVENTS: usize = 1024;

/// A message that nobody has wanted yet.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Message,
    /// The number of the command that it answers.
    pub(super) owner: Option<u64>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Queue {
    /// In bytes.
    limit: usize,
    messages: VecDeque<Queued>,
    bytes: usize,
    events: usize,
    lost_events: u64,
    lost_replies: u64,
}

impl Queue {
    /// Keeps about `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            messages: VecDeque::new(),
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

    /// How large they are together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.messages.iter()
    }

    /// The place of the first early reply: of a peer without ids, for a command that was not sent
    /// yet.
    pub(super) fn first_early_reply(&self) -> Option<usize> {
        self.messages.iter().position(|queued| {
            queued.owner.is_none() && matches!(queued.message.kind, Kind::Reply { id: None, .. })
        })
    }

    /// Drops them: the peer has ids, so they were an earlier client's.
    pub(super) fn drop_early_replies(&mut self) {
        while let Some(place) = self.first_early_reply() {
            self.remove(place);
            self.lost_replies += 1;
        }
    }

    /// Puts back what was removed.
    pub(super) fn insert(&mut self, place: usize, queued: Queued) {
        self.bytes += queued.message.text().len();
        self.events += usize::from(is_event(&queued));
        self.messages.insert(place, queued);
    }

    pub(super) fn put(&mut self, queued: Queued) {
        self.bytes += queued.message.text().len();
        self.events += usize::from(is_event(&queued));
        self.messages.push_back(queued);
        self.shed();
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Message> {
        let Queued { message, .. } = self.messages.remove(place)?;
        self.bytes -= message.text().len();
        self.events -= usize::from(matches!(message.kind, Kind::Event(_)));
        Some(message)
    }

    /// Drops the oldest: of too many events the oldest event, of too many bytes or replies
    /// whatever is oldest. The newest always stays.
    fn shed(&mut self) {
        while self.messages.len() > 1 {
            let too_large = self.bytes > self.limit || self.messages.len() > 2 * MAX_EVENTS;
            let place = if too_large {
                Some(0)
            } else if self.events > MAX_EVENTS {
                self.messages.iter().position(is_event)
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

fn is_event(queued: &Queued) -> bool {
    matches!(queued.message.kind, Kind::Event(_))
}
