//! Whose reply it is.

use std::collections::VecDeque;

use super::command;
use super::message::{Body, Kind, Message};
use super::negotiation::Negotiation;
use super::ticket::{Ticket, label};

/// The commands on the wire, and what is known of how the peer answers.
#[derive(Debug, Default)]
pub(super) struct Owners {
    last_number: u64,
    /// Commands whose reply has not come.
    pending: VecDeque<Ticket>,
    /// A reply with an id of ours has come: from now on the order tells whose they are.
    in_order: bool,
    /// The peer is known to repeat ids.
    is_strict: bool,
    negotiation: Negotiation,
}

impl Owners {
    /// The next command ends negotiation mode.
    pub(super) fn negotiate(&mut self) {
        self.negotiation = Negotiation::Command;
    }

    /// What ends negotiation mode has no id, and is said to QEMU.
    pub(super) fn negotiate_aside(&mut self) {
        self.is_strict = true;
        self.negotiation = Negotiation::Aside;
    }

    /// Why the peer did not leave negotiation mode, if it did not.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.negotiation.refusal()
    }

    /// Forgets the newest command: it never left.
    pub(super) fn retract(&mut self) {
        self.pending.pop_back();
    }

    /// The numbers of the commands whose reply has not come.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|ticket| ticket.number)
    }

    /// The number of the oldest of them; it waits no more.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.pending.pop_front().map(|ticket| ticket.number)
    }

    /// Whether a message only ends negotiation, or was left by an earlier client.
    pub(super) fn is_nobodys(&mut self, message: &Message) -> bool {
        self.is_leftover(message) || self.negotiation.takes(message)
    }

    /// Whether it says of our negotiation, or of an earlier client's command, that QEMU is in the
    /// other mode.
    ///
    /// A command that QEMU had begun when its client left is carried out for the next one: if that
    /// was the end of negotiation, ours comes too late. That does no harm.
    fn is_leftover(&self, message: &Message) -> bool {
        let has_no_id = matches!(message.kind, Kind::Reply { id: None, .. });
        has_no_id && self.is_strict && !self.in_order && message.is_not_found()
    }

    /// The number of the command that a reply answers, if one of those that wait; it waits no more.
    ///
    /// Without an id it is the oldest: if that has none either, or of a peer that never repeats
    /// ids (a test's stand-in), or where QEMU could not read the command, which it always says by
    /// an error.
    pub(super) fn claim(&mut self, message: &Message) -> Option<u64> {
        let Kind::Reply { id, body } = &message.kind else {
            return None;
        };
        let place = if let Some(id) = id {
            let place = self.pending.iter().position(|ticket| ticket.has_id(id))?;
            self.in_order = true;
            // A refusal without an id still stands where it makes the first command fail.
            if !self.is_strict || matches!(body, Body::Return(_)) {
                self.negotiation = Negotiation::Settled;
            }
            place
        } else {
            let repeats = self.knows_ids() && self.pending.front()?.id.is_some();
            if repeats && matches!(body, Body::Return(_)) {
                return None;
            }
            0
        };
        self.pending.remove(place).map(|ticket| ticket.number)
    }

    /// Whether the peer is known to repeat ids.
    pub(super) fn knows_ids(&self) -> bool {
        self.in_order || self.is_strict
    }

    /// A command goes out, with an id or none.
    pub(super) fn add(&mut self, id: Option<String>) -> Ticket {
        self.last_number += 1;
        let number = self.last_number;
        let ticket = Ticket { number, id };
        self.pending.push_back(ticket.clone());
        ticket
    }

    /// A new id, as JSON text, where one is needed.
    ///
    /// QEMU carries out one command after the other, and forgets those that wait when their client
    /// leaves: the one reply to an earlier client that may come comes before that to our first
    /// command. So until a reply has come by its id each command has one that is nobody else's,
    /// and from then on none: QEMU takes some microseconds for each byte of a command.
    pub(super) fn next_id(&self) -> Option<String> {
        (!self.in_order).then(|| command::quote(&label()))
    }
}
