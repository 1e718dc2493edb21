//! The protocol as a state machine without I/O: whose reply is it, and who wants that event.
//!
//! Bytes go in by [`Session::feed`]; what a call wants comes out of [`Session::advance`], which
//! gives None while more bytes are needed. What nobody wants yet is kept, in order, up to a bound.
//! One guest's connection and a whole fleet's use the same.

mod commands;
mod queue;

use std::fmt;

use super::codec::{Codec, CodecError};
use super::command;
use super::message::{BadMessage, Kind, Message};
use super::{foreign_text, outgoing};
pub use commands::PendingCommand;
use commands::{Commands, Owner};
pub use queue::MAX_EVENTS;
use queue::{Queue, Queued};

/// What is odd about a peer that answers before it greets.
const EARLY_REPLY: &str = "a reply instead of a greeting";

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
    Reply(&'a PendingCommand),
    /// The reply to the oldest command that waits for one.
    OldestReply,
    /// The oldest event of one of these names, and about this device if one is given.
    Event {
        /// The events' names; None: any.
        names: Option<&'a [String]>,
        /// The device's id or path.
        device: Option<&'a str>,
    },
    /// Whatever comes next.
    Anything,
}

/// The end of QEMU's negotiation mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Negotiation {
    NotBegun,
    /// `qmp_capabilities` is the command with this number.
    Pending(u64),
    Done,
}

/// One connection's protocol state.
#[derive(Debug)]
pub struct Session {
    codec: Codec,
    commands: Commands,
    negotiation: Negotiation,
    /// So many replies without an id came before the greeting.
    early_replies: u8,
    queue: Queue,
    wants_events: bool,
    dropped_replies: u64,
}

impl Session {
    /// A session that takes messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            codec: Codec::new(limit),
            commands: Commands::default(),
            negotiation: Negotiation::NotBegun,
            early_replies: 0,
            queue: Queue::new(limit),
            wants_events: true,
            dropped_replies: 0,
        }
    }

    /// The same, where nobody will ever ask for an event: none is kept.
    #[must_use]
    pub fn without_events(limit: usize) -> Self {
        Self {
            wants_events: false,
            ..Self::new(limit)
        }
    }

    /// How many events were dropped because nobody took them.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.queue.lost_events()
    }

    /// How many replies were dropped because no command waited for them.
    #[must_use]
    pub fn dropped_replies(&self) -> u64 {
        self.dropped_replies + self.queue.lost_replies()
    }

    /// Whether the stream stands in the middle of a message.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.codec.is_inside_message()
    }

    /// How many bytes are held: of messages that are not complete, and of those nobody took.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.codec.buffered() + self.queue.bytes()
    }

    /// Whether QEMU has left negotiation mode.
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        self.negotiation == Negotiation::Done
    }

    /// What the peer said before anybody could tell to whom: a reply instead of a greeting, or an
    /// error without an id. It explains why nothing else comes.
    #[must_use]
    pub fn unattributed(&self) -> Option<String> {
        match self.commands.unattributed_error() {
            Some(error) => Some(unattributed_error(error)),
            None if self.early_replies > 0 => Some(EARLY_REPLY.to_owned()),
            None => None,
        }
    }

    /// The bytes of a new command, and what to wait for its reply with.
    ///
    /// # Errors
    /// [`BadMessage`] if QEMU's parser would refuse it.
    pub fn begin(
        &mut self,
        command: &str,
        arguments: Option<&str>,
    ) -> Result<(PendingCommand, Vec<u8>), BadMessage> {
        let pending = self.commands.add(None);
        let line = command::line(command, arguments, Some(pending.id()));
        if let Err(bad) = outgoing::check(&line) {
            self.commands.retract();
            return Err(bad);
        }
        Ok((pending, line.into_bytes()))
    }

    /// The same for the command that leaves QEMU's negotiation mode. Nobody has to wait for its
    /// reply: the first command may follow at once, and a refusal ends the session.
    pub fn negotiate(&mut self) -> (PendingCommand, Vec<u8>) {
        let pending = self.commands.add(None);
        self.negotiation = Negotiation::Pending(pending.number);
        let line = command::line(command::CAPABILITIES, None, Some(pending.id()));
        (pending, line.into_bytes())
    }

    /// The bytes of a message that the caller wrote, with an id if it is a command without one.
    ///
    /// # Errors
    /// [`BadMessage`] if it is no JSON object in a single line, or QEMU's parser would refuse it.
    pub fn adopt(&mut self, text: &str) -> Result<Vec<u8>, BadMessage> {
        let foreign = command::inspect(text)?;
        let callers_id = foreign.id.is_some();
        if !callers_id && foreign.command.is_none() {
            return Ok(format!("{text}\n").into_bytes());
        }
        let pending = self.commands.add(foreign.id);
        let line = if callers_id {
            format!("{text}\n")
        } else {
            command::with_id(text, foreign.null_id, pending.id())
        };
        Ok(line.into_bytes())
    }

    /// Forgets the newest command: it never left.
    pub fn retract(&mut self) {
        self.commands.retract();
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
        self.give_early_replies(want)?;
        let fits = |queued: &Queued| self.fits(want, &queued.message, queued.owner);
        let place = self.queue.iter().position(fits);
        if let Some(place) = place {
            return Ok(self.queue.remove(place));
        }
        while let Some((message, owner)) = self.next_message(want)? {
            if self.fits(want, &message, owner) {
                return Ok(Some(message));
            }
            self.keep(message, owner)?;
        }
        Ok(None)
    }

    /// Sorts all whole messages that came; for use while a large command is still going out.
    ///
    /// # Errors
    /// [`BadStream`]: nothing more can be read.
    pub fn sort(&mut self) -> Result<(), BadStream> {
        while let Some((message, owner)) = self.next_message(&Want::OldestReply)? {
            self.keep(message, owner)?;
        }
        Ok(())
    }

    /// The next message, with the number of the command that it answers: that waits no more.
    ///
    /// What only the session has to know is left out.
    fn next_message(
        &mut self,
        want: &Want<'_>,
    ) -> Result<Option<(Message, Option<u64>)>, BadStream> {
        while let Some(line) = self.codec.next_line()? {
            let message = Message::parse(line)?;
            let Kind::Reply { id, .. } = &message.kind else {
                return Ok(Some((message, None)));
            };
            if matches!(want, Want::Greeting) {
                self.take_early_reply(id.is_some())?;
                continue;
            }
            let error = message.refusal().map(|(_, desc)| desc);
            let owner = match id {
                Some(id) => self.commands.owner_by_id(id),
                None => self.commands.owner_by_order(error),
            };
            match owner {
                Owner::Command(number) => {
                    let is_wanted = matches!(want, Want::Reply(it) if it.number == number);
                    if !self.ends_negotiation(number, &message)? || is_wanted {
                        return Ok(Some((message, Some(number))));
                    }
                }
                Owner::NextCommand => return Ok(Some((message, None))),
                Owner::Nobody if matches!(want, Want::Anything) && error.is_none() => {
                    return Ok(Some((message, None)));
                }
                Owner::Nobody => self.dropped_replies += 1,
                Owner::Unknown => {
                    let said = self.commands.unattributed_error().or(error);
                    return Err(BadStream(unattributed_error(said.unwrap_or_default())));
                }
            }
        }
        Ok(None)
    }

    /// A reply before the greeting is an earlier client's.
    ///
    /// QEMU's main loop may answer an earlier client in the very moment in which the monitor's
    /// thread takes the next: once (seen with QEMU 10).
    fn take_early_reply(&mut self, has_id: bool) -> Result<(), BadStream> {
        self.dropped_replies += 1;
        if !has_id {
            if self.early_replies > 0 {
                return Err(BadStream(EARLY_REPLY.to_owned()));
            }
            self.early_replies += 1;
        }
        Ok(())
    }

    /// Whether it is the reply to `qmp_capabilities`, which only the session has to know.
    ///
    /// "Not found" means that QEMU is in command mode already: a command that it had begun when
    /// its client left is carried out for the next one, and that was the same command.
    fn ends_negotiation(&mut self, number: u64, message: &Message) -> Result<bool, BadStream> {
        if self.negotiation != Negotiation::Pending(number) {
            return Ok(false);
        }
        match message.refusal() {
            Some((_, desc)) if !message.is_not_found() => Err(BadStream(format!(
                "it refused {}: {}",
                command::CAPABILITIES,
                foreign_text::printable(desc)
            ))),
            _ => {
                self.negotiation = Negotiation::Done;
                Ok(true)
            }
        }
    }

    fn fits(&self, want: &Want<'_>, message: &Message, owner: Option<u64>) -> bool {
        match (want, &message.kind) {
            (Want::Anything, _) | (Want::Greeting, Kind::Greeting(_)) => true,
            (Want::Reply(command), Kind::Reply { .. }) => owner == Some(command.number),
            (Want::OldestReply, Kind::Reply { id, .. }) => {
                let queued = self.queue.iter().filter_map(|queued| queued.owner);
                let oldest = self.commands.numbers().chain(queued).min();
                match (owner, oldest) {
                    (Some(owner), oldest) => oldest.is_none_or(|oldest| owner <= oldest),
                    (None, oldest) => id.is_none() && oldest.is_none(),
                }
            }
            (Want::Event { names, device }, Kind::Event(event)) => {
                names.is_none_or(|names| names.contains(&event.name))
                    && device.is_none_or(|device| event.is_about(device))
            }
            _ => false,
        }
    }

    /// What a peer without ids answered before it was asked goes to who asks next.
    fn give_early_replies(&mut self, want: &Want<'_>) -> Result<(), BadStream> {
        if !self.commands.takes_replies_without_id() {
            self.queue.drop_early_replies();
            return Ok(());
        }
        while let Some(place) = self.queue.first_early_reply() {
            let Some(number) = self.commands.take_oldest() else {
                return Ok(());
            };
            let Some(message) = self.queue.remove(place) else {
                return Ok(());
            };
            let is_wanted = matches!(want, Want::Reply(it) if it.number == number);
            if !self.ends_negotiation(number, &message)? || is_wanted {
                let owner = Some(number);
                self.queue.insert(place, Queued { message, owner });
            }
        }
        Ok(())
    }

    fn keep(&mut self, message: Message, owner: Option<u64>) -> Result<(), BadStream> {
        match &message.kind {
            Kind::Event(_) if !self.wants_events => return Ok(()),
            Kind::Event(_) | Kind::Reply { .. } => {}
            // QEMU may greet more than once (seen with a monitor that was opened again).
            Kind::Greeting(_) => return Ok(()),
            Kind::Other => {
                return Err(BadStream(
                    "a message that is neither greeting, reply nor event".to_owned(),
                ));
            }
        }
        self.queue.put(Queued { message, owner });
        Ok(())
    }
}

/// An error that no command can be told of.
fn unattributed_error(desc: &str) -> String {
    let desc = foreign_text::quoted(desc);
    format!("an error without an id, so nobody can tell which command it is about: {desc}")
}
