//! The protocol as a state machine without I/O: whose reply is it, and who wants that event.
//!
//! Bytes go in by [`Session::feed`]; what a call wants comes out of [`Session::advance`], which
//! gives None while more bytes are needed. What nobody wants yet is kept, in order, up to a bound.

use std::collections::VecDeque;
use std::fmt;

use super::codec::{Codec, CodecError};
use super::command;
use super::message::{BadMessage, Body, Kind, Message};
pub use super::ticket::Ticket;
use super::ticket::label;

/// So many events are kept for those who will listen; older ones are dropped, and counted.
pub const MAX_EVENTS: usize = 1024;

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

/// What came of the wish to leave negotiation mode, where that was no command of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Negotiation {
    /// Nothing is open.
    Settled,
    /// Its reply has not come.
    Open,
    /// There was an error without an id: its own, or of an earlier client's last command.
    Refused(String),
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

/// One connection's protocol state.
#[derive(Debug)]
pub struct Session {
    codec: Codec,
    last_number: u64,
    pending: VecDeque<Ticket>,
    /// A reply with an id of ours has come: from now on the order tells whose they are.
    in_order: bool,
    /// The peer is known to repeat ids.
    is_strict: bool,
    negotiation: Negotiation,
    /// The caller wrote an id that is a list or an object.
    has_odd_ids: bool,
    kept: VecDeque<Message>,
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

    /// The bytes that leave QEMU's negotiation mode, for a peer that is QEMU.
    ///
    /// Nobody waits for their reply: the first command may follow at once, and its reply tells.
    pub fn negotiate(&mut self) -> Vec<u8> {
        self.is_strict = true;
        self.negotiation = Negotiation::Open;
        command::line(command::CAPABILITIES, None, None).into_bytes()
    }

    /// Why the peer did not leave negotiation mode, if it did not.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match &self.negotiation {
            Negotiation::Refused(why) => Some(why),
            Negotiation::Settled | Negotiation::Open => None,
        }
    }

    /// The bytes of a new command, and what to wait for its reply with.
    pub fn begin(&mut self, command: &str, arguments: Option<&str>) -> (Ticket, Vec<u8>) {
        let id = self.next_id();
        let line = command::line(command, arguments, id.as_deref());
        (self.expect(id), line.into_bytes())
    }

    /// The bytes of a message that the caller wrote, with an id if it is a command without one.
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
        if let Some(place) = self.kept.iter().position(|kept| self.fits(want, kept)) {
            return Ok(self.take(place));
        }
        while let Some(message) = self.next_message()? {
            if !matches!(want, Want::Greeting) && self.negotiates(&message) {
                continue;
            }
            self.learn(&message);
            if self.fits(want, &message) {
                self.settle(&message);
                return Ok(Some(message));
            }
            self.keep(want, message)?;
        }
        Ok(None)
    }

    /// Sorts all whole messages that came; for use while a large command is still going out.
    ///
    /// # Errors
    /// [`BadStream`]: nothing more can be read.
    pub fn sort(&mut self) -> Result<(), BadStream> {
        while let Some(message) = self.next_message()? {
            if self.negotiates(&message) {
                continue;
            }
            self.learn(&message);
            self.keep(&Want::OldestReply, message)?;
        }
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<Message>, BadStream> {
        let Some(line) = self.codec.next_line()? else {
            return Ok(None);
        };
        let message = if self.has_odd_ids {
            Message::parse(line)
        } else {
            Message::skim(line)
        };
        Ok(Some(message?))
    }

    fn fits(&self, want: &Want<'_>, message: &Message) -> bool {
        match (want, &message.kind) {
            (Want::Anything, _) | (Want::Greeting, Kind::Greeting(_)) => true,
            (Want::Reply(ticket), Kind::Reply { .. }) => self.owner(message) == Some(*ticket),
            (Want::OldestReply, Kind::Reply { id: None, .. }) if self.pending.is_empty() => true,
            (Want::OldestReply, Kind::Reply { .. }) => self
                .owner(message)
                .is_some_and(|owner| self.pending.front() == Some(owner)),
            (Want::Event { names, device }, Kind::Event(event)) => {
                names.contains(&event.name) && device.is_none_or(|device| event.is_about(device))
            }
            _ => false,
        }
    }

    /// The command that a reply answers, if one of those that wait.
    ///
    /// Without an id it is the oldest: if that has none either, or of a peer that never repeats
    /// ids (a test's stand-in), or where QEMU could not read the command, which it always says by
    /// an error.
    fn owner(&self, message: &Message) -> Option<&Ticket> {
        match &message.kind {
            Kind::Reply { id: Some(id), .. } => {
                self.pending.iter().find(|ticket| ticket.has_id(id))
            }
            Kind::Reply { id: None, body } => {
                let front = self.pending.front()?;
                let repeats = front.id.is_some() && (self.in_order || self.is_strict);
                (!repeats || matches!(body, Body::Error { .. })).then_some(front)
            }
            _ => None,
        }
    }

    /// Whether a message is all that the end of negotiation brings, and nobody's reply.
    fn negotiates(&mut self, message: &Message) -> bool {
        let Kind::Reply { id: None, body } = &message.kind else {
            return false;
        };
        self.negotiation = match (&self.negotiation, body) {
            (Negotiation::Settled, _) | (Negotiation::Refused(_), Body::Error { .. }) => {
                return false;
            }
            (_, Body::Return(_)) => Negotiation::Settled,
            (Negotiation::Open, Body::Error { desc, .. }) => Negotiation::Refused(desc.clone()),
        };
        true
    }

    fn learn(&mut self, message: &Message) {
        self.in_order |= matches!(&message.kind, Kind::Reply { id: Some(id), .. }
            if self.pending.iter().any(|ticket| ticket.has_id(id)));
    }

    /// A reply was given out: its command waits no more.
    fn settle(&mut self, message: &Message) {
        let owner = self.owner(message).cloned();
        if let Some(owner) = owner {
            self.pending.retain(|ticket| *ticket != owner);
        }
    }

    fn keep(&mut self, want: &Want<'_>, message: Message) -> Result<(), BadStream> {
        match &message.kind {
            Kind::Event(_) => {}
            // QEMU may greet more than once (seen with a monitor that was opened again).
            Kind::Greeting(_) => return Ok(()),
            Kind::Reply { id, .. } => {
                let greets = matches!(want, Want::Greeting);
                if id.is_none() && greets {
                    return Err(BadStream("a reply instead of a greeting".to_owned()));
                }
                let is_known = id.is_some() || self.in_order || self.is_strict;
                if is_known && self.owner(&message).is_none() {
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
        self.kept.push_back(message);
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
                    .position(|kept| matches!(kept.kind, Kind::Event(_)))
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

    fn take(&mut self, place: usize) -> Option<Message> {
        let message = self.remove(place)?;
        self.settle(&message);
        Some(message)
    }

    fn remove(&mut self, place: usize) -> Option<Message> {
        let message = self.kept.remove(place)?;
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
