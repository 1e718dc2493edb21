//! The protocol as a state machine without I/O: whose reply is it, and who wants that event.
//!
//! Bytes go in by [`Session::feed`]; what a call wants comes out of [`Session::advance`], which
//! gives None while more bytes are needed. What nobody wants yet is kept, in order, up to a bound.

use std::fmt;

use super::codec::{Codec, CodecError};
use super::command;
use super::message::{BadMessage, Kind, Message};
use super::owners::Owners;
pub use super::shelf::MAX_EVENTS;
use super::shelf::{Kept, Shelf};
pub use super::ticket::Ticket;

/// What is odd about a peer that answers before it greets.
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

/// One connection's protocol state.
#[derive(Debug)]
pub struct Session {
    codec: Codec,
    owners: Owners,
    /// So many replies without an id came before the greeting.
    rash_replies: u8,
    /// The caller wrote an id that is a list or an object.
    has_odd_ids: bool,
    shelf: Shelf,
    dropped_replies: u64,
}

impl Session {
    /// A session that takes messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            codec: Codec::new(limit),
            owners: Owners::default(),
            rash_replies: 0,
            has_odd_ids: false,
            shelf: Shelf::new(limit),
            dropped_replies: 0,
        }
    }

    /// How many events were dropped because nobody took them.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.shelf.lost_events()
    }

    /// How many replies were dropped because no command waited for them.
    #[must_use]
    pub fn dropped_replies(&self) -> u64 {
        self.dropped_replies + self.shelf.lost_replies()
    }

    /// Whether the stream stands in the middle of a message.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.codec.is_inside_message()
    }

    /// The bytes of a new command, and what to wait for its reply with.
    pub fn begin(&mut self, command: &str, arguments: Option<&str>) -> (Ticket, Vec<u8>) {
        let id = self.owners.next_id();
        let line = command::line(command, arguments, id.as_deref());
        (self.owners.add(id), line.into_bytes())
    }

    /// The same for the command that leaves QEMU's negotiation mode.
    pub fn negotiate(&mut self) -> (Ticket, Vec<u8>) {
        self.owners.negotiate();
        self.begin(command::CAPABILITIES, None)
    }

    /// The bytes that leave QEMU's negotiation mode, for a peer that is QEMU.
    ///
    /// Nobody waits for their reply: the first command may follow at once, and its reply tells.
    pub fn negotiate_aside(&mut self) -> Vec<u8> {
        self.owners.negotiate_aside();
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
        self.owners.refusal()
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
            self.owners.add(foreign.id);
        } else if foreign.command.is_some() {
            let id = self.owners.next_id();
            if let Some(id) = &id {
                line = command::with_id(text, id);
            }
            self.owners.add(id);
        }
        Ok(line.into_bytes())
    }

    /// Forgets the newest command: it never left.
    pub fn retract(&mut self) {
        self.owners.retract();
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
        let place = self.shelf.iter().position(fits);
        if let Some(place) = place {
            return Ok(self.shelf.remove(place));
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
            if greets || !self.owners.is_nobodys(&message) {
                let owner = self.owners.claim(&message);
                return Ok(Some((message, owner)));
            }
        }
        Ok(None)
    }

    fn fits(&self, want: &Want<'_>, message: &Message, owner: Option<u64>) -> bool {
        match (want, &message.kind) {
            (Want::Anything, _) | (Want::Greeting, Kind::Greeting(_)) => true,
            (Want::Reply(ticket), Kind::Reply { .. }) => owner == Some(ticket.number),
            (Want::OldestReply, Kind::Reply { id, .. }) => {
                let kept = self.shelf.iter().filter_map(|kept| kept.owner);
                let oldest = self.owners.numbers().chain(kept).min();
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

    /// What a peer without ids answered before it was asked goes to who asks next.
    fn give_orphans(&mut self) {
        for orphan in self.shelf.ownerless_replies() {
            orphan.owner = self.owners.next();
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
                if owner.is_none() && (id.is_some() || self.owners.knows_ids()) {
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
        self.shelf.put(Kept { message, owner });
        Ok(())
    }
}
