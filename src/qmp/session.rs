//! The protocol as a state machine without I/O: whose reply is it, and who wants that event.
//!
//! Bytes go in by [`Session::feed`]; what a call wants comes out of [`Session::advance`], which
//! gives None while more bytes are needed. What nobody wants yet is kept, in order, up to a bound.

use std::collections::VecDeque;
use std::fmt;

use super::codec::{Codec, CodecError};
use super::command;
use super::message::{BadMessage, Body, Kind, Message};
use super::negotiation::Negotiation;
pub use super::ticket::Ticket;
use super::ticket::label;

/// So many events are kept for those who will listen; older ones are dropped, and counted.
pub const MAX_EVENTS: usize = 1024;

pub(super) const RASH: &str = "a reply instead of a greeting";

/// Why a stream can not be used on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadStream(pub String);

impl fmt::Display for BadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadStream {}

impl From<CodecError> for BadStream {
    fn from(error: CodecError) -> Self {
        Self(error.to_string())
    }
}

impl From<BadMessage> for BadStream {
    fn from(error: BadMessage) -> Self {
        Self(error.0)
    }
}

/// What a call waits for.
#[derive(Debug, Clone)]
pub enum Want<'a> {
    /// QEMU's greeting.
    Greeting,
    /// The reply to one command.
    Reply(&'a Ticket),
    /// The reply to the oldest command that waits for one.
    OldestReply,
    /// The oldest event of one of these names, and about this device if one is given.
    Event {
        /// The events' names.
        names: &'a [String],
        /// The device's id or path.
        device: Option<&'a str>,
    },
    /// Whatever comes next.
    Anything,
}

/// What nobody has wanted yet.
#[derive(Debug)]
struct Kept {
    message: Message,
    /// The number of the command that it answers.
    owner: Option<u64>,
}

/// One connection's protocol state.
#[derive(Debug)]
pub struct Session {
    codec: Codec,
    last_number: u64,
    /// Commands whose reply has not come.
    pending: VecDeque<Ticket>,
    /// A reply with an id of ours has come: from now on the order tells whose they are.
    in_order: bool,
    /// The peer is known to repeat ids.
    is_strict: bool,
    negotiation: Negotiation,
    /// So many replies without an id came before the greeting.
    rash_replies: u8,
    /// The caller wrote an id that is a list or an object.
    has_odd_ids: bool,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    kept_events: usize,
    lost_events: u64,
    dropped_replies: u64,
}

impl Session {
    /// A session that takes messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            codec: Codec::new(limit),
            last_number: 0,
            pending: VecDeque::new(),
            in_order: false,
            is_strict: false,
            negotiation: Negotiation::Settled,
            rash_replies: 0,
            has_odd_ids: false,
            kept: VecDeque::new(),
            kept_bytes: 0,
            kept_events: 0,
            lost_events: 0,
            dropped_replies: 0,
        }
    }

    /// How many events were dropped because nobody took them.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.lost_events
    }

    /// How many replies were dropped because no command waited for them.
    #[must_use]
    pub fn dropped_replies(&self) -> u64 {
        self.dropped_replies
    }

    /// Whether the stream stands in the middle of a message.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.codec.is_inside_message()
    }

    /// The bytes of a new command, and what to wait for its reply with.
    pub fn begin(&mut self, command: &str, arguments: Option<&str>) -> (Ticket, Vec<u8>) {
        let id = self.next_id();
        let line = command::line(command, arguments, id.as_deref());
        (self.expect(id), line.into_bytes())
    }

    /// The same for the command that leaves QEMU's negotiation mode.
    pub fn negotiate(&mut self) -> (Ticket, Vec<u8>) {
        self.negotiation = Negotiation::Command;
        self.begin(command::CAPABILITIES, None)
    }

    /// The bytes that leave QEMU's negotiation mode, for a peer that is QEMU.
    ///
    /// Nobody waits for their reply: the first command may follow at once, and its reply tells.
    pub fn negotiate_aside(&mut self) -> Vec<u8> {
        self.is_strict = true;
        self.negotiation = Negotiation::Aside;
        command::line(command::CAPABILITIES, None, None).into_bytes()
    }

    /// What is odd, if a reply but no greeting has come.
    #[must_use]
    pub fn rashness(&self) -> Option<&str> {
        (self.rash_replies > 0).then_some(RASH)
    }

    /// Why the peer did not leave negotiation mode, if it did not.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.negotiation.refusal()
    }

    /// The bytes of a message that the caller wrote, with an id if it is a command that needs one.
    ///
    /// # Errors
    /// [`BadMessage`] if it is no JSON object in a single line.
    pub fn adopt(&mut self, text: &str) -> Result<Vec<u8>, BadMessage> {
        let foreign = command::inspect(text)?;
        let mut line = format!("{text}\n");
        if let Some(id) = &foreign.id {
            self.has_odd_ids |= id.starts_with(['{', '[']);
            self.expect(foreign.id);
        } else if foreign.command.is_some() {
            let id = self.next_id();
            if let Some(id) = &id {
                line = command::with_id(text, id);
            }
            self.expect(id);
        }
        Ok(line.into_bytes())
    }

    /// Forgets the newest command: it never left.
    pub fn retract(&mut self) {
        self.pending.pop_back();
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.codec.feed(bytes);
    }

    /// What is wanted, if it is there.
    ///
    /// # Errors
    /// [`BadStream`]: nothing more can be read.
    pub fn advance(&mut self, want: &Want<'_>) -> Result<Option<Message>, BadStream> {
        self.give_orphans();
        let fits = |kept: &Kept| self.fits(want, &kept.message, kept.owner);
        if let Some(place) = self.kept.iter().position(fits) {
            return Ok(self.remove(place));
        }
        while let Some((message, owner)) = self.next_message(want)? {
            if self.fits(want, &message, owner) {
                return Ok(Some(message));
            }
            self.keep(want, message, owner)?;
        }
        Ok(None)
    }

    /// Sorts all whole messages that came; for use while a large command is still going out.
    ///
    /// # Errors
    /// [`BadStream`]: nothing more can be read.
    pub fn sort(&mut self) -> Result<(), BadStream> {
        while let Some((message, owner)) = self.next_message(&Want::OldestReply)? {
            self.keep(&Want::OldestReply, message, owner)?;
        }
        Ok(())
    }

    /// The next message, with the number of the command that it answers: that waits no more.
    fn next_message(
        &mut self,
        want: &Want<'_>,
    ) -> Result<Option<(Message, Option<u64>)>, BadStream> {
        while let Some(line) = self.codec.next_line()? {
            let message = if self.has_odd_ids {
                Message::parse(line)?
            } else {
                Message::skim(line)?
            };
            let greets = matches!(want, Want::Greeting);
            if greets || !(self.is_leftover(&message) || self.negotiation.takes(&message)) {
                let owner = self.claim(&message);
                return Ok(Some((message, owner)));
            }
        }
        Ok(None)
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

    fn fits(&self, want: &Want<'_>, message: &Message, owner: Option<u64>) -> bool {
        match (want, &message.kind) {
            (Want::Anything, _) | (Want::Greeting, Kind::Greeting(_)) => true,
            (Want::Reply(ticket), Kind::Reply { .. }) => owner == Some(ticket.number),
            (Want::OldestReply, Kind::Reply { id, .. }) => {
                let kept = self.kept.iter().filter_map(|kept| kept.owner);
                let oldest = self
                    .pending
                    .iter()
                    .map(|ticket| ticket.number)
                    .chain(kept)
                    .min();
                match (owner, oldest) {
                    (Some(owner), oldest) => oldest.is_none_or(|oldest| owner <= oldest),
                    (None, oldest) => id.is_none() && oldest.is_none(),
                }
            }
            (Want::Event { names, device }, Kind::Event(event)) => {
                names.contains(&event.name) && device.is_none_or(|device| event.is_about(device))
            }
            _ => false,
        }
    }

    /// The number of the command that a reply answers, if one of those that wait; it waits no more.
    ///
    /// Without an id it is the oldest: if that has none either, or of a peer that never repeats
    /// ids (a test's stand-in), or where QEMU could not read the command, which it always says by
    /// an error.
    fn claim(&mut self, message: &Message) -> Option<u64> {
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

    fn knows_ids(&self) -> bool {
        self.in_order || self.is_strict
    }

    /// What a peer without ids answered before it was asked goes to who asks next.
    fn give_orphans(&mut self) {
        let is_reply = |kept: &&mut Kept| matches!(kept.message.kind, Kind::Reply { .. });
        for orphan in self.kept.iter_mut().filter(is_reply) {
            if orphan.owner.is_none() {
                orphan.owner = self.pending.pop_front().map(|ticket| ticket.number);
            }
        }
    }

    fn keep(
        &mut self,
        want: &Want<'_>,
        message: Message,
        owner: Option<u64>,
    ) -> Result<(), BadStream> {
        match &message.kind {
            Kind::Event(_) => {}
            // QEMU may greet more than once (seen with a monitor that was opened again).
            Kind::Greeting(_) => return Ok(()),
            Kind::Reply { id, .. } => {
                if id.is_none() && matches!(want, Want::Greeting) {
                    // QEMU's main loop may answer an earlier client in the very moment in which
                    // the monitor's thread takes the next: once (seen with QEMU 10).
                    if self.rash_replies > 0 {
                        return Err(BadStream(RASH.to_owned()));
                    }
                    self.rash_replies += 1;
                    self.dropped_replies += 1;
                    return Ok(());
                }
                if owner.is_none() && (id.is_some() || self.knows_ids()) {
                    self.dropped_replies += 1;
                    return Ok(());
                }
            }
            Kind::Other if matches!(want, Want::Event { .. }) => {}
            Kind::Other => {
                return Err(BadStream(
                    "a message that is neither greeting, reply nor event".to_owned(),
                ));
            }
        }
        self.kept_bytes += message.text().len();
        self.kept_events += usize::from(matches!(message.kind, Kind::Event(_)));
        self.kept.push_back(Kept { message, owner });
        self.shed();
        Ok(())
    }

    /// Drops the oldest: of too many events the oldest event, of too many bytes or replies
    /// whatever is oldest. The newest always stays.
    fn shed(&mut self) {
        while self.kept.len() > 1 {
            let too_large =
                self.kept_bytes > self.codec.limit() || self.kept.len() > 2 * MAX_EVENTS;
            let place = if too_large {
                Some(0)
            } else if self.kept_events > MAX_EVENTS {
                self.kept
                    .iter()
                    .position(|kept| matches!(kept.message.kind, Kind::Event(_)))
            } else {
                None
            };
            let Some(dropped) = place.and_then(|place| self.remove(place)) else {
                return;
            };
            if matches!(dropped.kind, Kind::Event(_)) {
                self.lost_events += 1;
            } else {
                self.dropped_replies += 1;
            }
        }
    }

    fn remove(&mut self, place: usize) -> Option<Message> {
        let Kept { message, .. } = self.kept.remove(place)?;
        self.kept_bytes -= message.text().len();
        self.kept_events -= usize::from(matches!(message.kind, Kind::Event(_)));
        Some(message)
    }

    fn expect(&mut self, id: Option<String>) -> Ticket {
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
    fn next_id(&self) -> Option<String> {
        (!self.in_order).then(|| command::quote(&label()))
    }
}
