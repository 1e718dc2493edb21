//! The protocol as a state machine without I/O: whose reply is it, and who wants that event.
//!
//! Bytes go in by [`Session::feed`]; what a call wants comes out of [`Session::advance`], which
//! gives None while more bytes are needed. What nobody wants yet is kept, in order, up to a bound.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::SystemTime;

use super::codec::{Codec, CodecError};
use super::message::{self, BadMessage, Body, Kind, Message};

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

/// A command on the wire, by its id as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    id: String,
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
    last_id: u64,
    pending: VecDeque<Ticket>,
    echoes: bool,
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
            last_id: 0,
            pending: VecDeque::new(),
            echoes: false,
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
        let line = message::command_line(command, arguments, Some(&id));
        (self.expect(id), line.into_bytes())
    }

    /// The bytes of a message that the caller wrote, with an id if it is a command without one.
    ///
    /// # Errors
    /// [`BadMessage`] if it is no JSON object in a single line.
    pub fn adopt(&mut self, text: &str) -> Result<Vec<u8>, BadMessage> {
        let foreign = message::inspect(text)?;
        let line = match (foreign.id, foreign.command) {
            (Some(id), _) => {
                self.expect(id);
                format!("{text}\n")
            }
            (None, Some(_)) => {
                let id = self.next_id();
                let line = message::with_id(text, &id);
                self.expect(id);
                line
            }
            (None, None) => format!("{text}\n"),
        };
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
        while let Some(line) = self.codec.next_line()? {
            let message = Message::parse(line)?;
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
        while let Some(line) = self.codec.next_line()? {
            let message = Message::parse(line)?;
            self.learn(&message);
            self.keep(&Want::OldestReply, message)?;
        }
        Ok(())
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
    /// Without an id it is the oldest: of a peer that never echoes ids (a test's stand-in), and
    /// of QEMU where it could not read the command, which it always says by an error.
    fn owner(&self, message: &Message) -> Option<&Ticket> {
        match &message.kind {
            Kind::Reply { id: Some(id), .. } => {
                self.pending.iter().find(|ticket| same(&ticket.id, id))
            }
            Kind::Reply { id: None, body } => match body {
                Body::Return(_) if self.echoes => None,
                _ => self.pending.front(),
            },
            _ => None,
        }
    }

    fn learn(&mut self, message: &Message) {
        self.echoes |= matches!(&message.kind, Kind::Reply { id: Some(id), .. }
            if self.pending.iter().any(|ticket| same(&ticket.id, id)));
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
                if self.owner(&message).is_none() && (id.is_some() || self.echoes) {
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

    fn expect(&mut self, id: String) -> Ticket {
        let ticket = Ticket { id };
        self.pending.push_back(ticket.clone());
        ticket
    }

    /// A new id, as JSON text.
    ///
    /// QEMU carries out one command after the other, and forgets those that wait when their client
    /// leaves: the one reply to an earlier client that may come comes before that to our first
    /// command. So only this one's id must be nobody else's. The others are short, and below zero,
    /// where nobody counts who writes his own.
    fn next_id(&mut self) -> String {
        self.last_id += 1;
        match self.last_id {
            1 => message::quote(&label()),
            number => format!("-{number}"),
        }
    }
}

/// Whether two ids are equal, however their JSON is written.
fn same(ours: &str, theirs: &str) -> bool {
    if ours == theirs {
        return true;
    }
    let parse = serde_json::from_str::<serde_json::Value>;
    matches!((parse(ours), parse(theirs)), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// What no other session's first command has for an id, but for one in ten million: four letters or digits.
///
/// QEMU gives the reply to a slow command to whoever is connected when it is ready, so an id must
/// not come again in another connection, nor in another process, forked or not. It is short
/// because QEMU takes some microseconds for each byte of a command.
pub(super) fn label() -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = random();
    let digits = std::iter::repeat_with(|| {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        rest /= 62;
        DIGITS.get(digit).map_or('0', |digit| char::from(*digit))
    });
    digits.take(4).collect()
}

/// A number that differs between threads, processes (forked ones too) and moments.
fn random() -> u64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        hasher.write_u128(now.as_nanos());
    }
    hasher.finish()
}
