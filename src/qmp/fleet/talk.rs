//! One guest's part: greeting, then all commands at once, then their replies.
//!
//! Only the first command has an id, and a short one: QEMU takes two microseconds for each byte of
//! a command. It carries out one command after the other, and forgets those that wait when their
//! client leaves: so at most one reply to an earlier client can come, and only before the reply to
//! our first command. From then on the order tells whose they are.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;

use super::Question;
use crate::errno;
use crate::qmp::codec::Codec;
use crate::qmp::command::{self, CAPABILITIES};
use crate::qmp::error::{ErrorKind, Result};
use crate::qmp::failure::{accept, at};
use crate::qmp::message::{Body, Kind, Message};
use crate::qmp::session::RASH;
use crate::qmp::transport::Transport;

/// As JSON text; nobody counts his commands from below zero.
const ID: &str = "-7";

type Step<T> = std::result::Result<T, ErrorKind>;

/// How far a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connected,
    Greeted,
    Negotiated,
}

/// A connection on which nothing ever waits.
pub(super) struct Talk<'a> {
    transport: Transport,
    codec: Codec,
    questions: &'a [Question],
    stage: Stage,
    /// So many came before the greeting; one may be for an earlier client.
    rash_replies: u8,
    /// An error that may be for an earlier client, or refuse to leave negotiation mode.
    doubt: Option<String>,
    output: Vec<u8>,
    sent: usize,
    replies: Vec<Result<Message>>,
}

impl<'a> Talk<'a> {
    /// Connects; None if the monitor's queue of waiting clients is full.
    ///
    /// `early`: it does not wait for the greeting before it asks.
    pub(super) fn start(
        path: &Path,
        limit: usize,
        questions: &'a [Question],
        early: bool,
    ) -> std::result::Result<Option<Self>, Errno> {
        let Some(transport) = Transport::try_connect(path)? else {
            return Ok(None);
        };
        let mut talk = Self {
            transport,
            codec: Codec::new(limit),
            questions,
            stage: Stage::Connected,
            rash_replies: 0,
            doubt: None,
            output: Vec::new(),
            sent: 0,
            replies: Vec::new(),
        };
        if early {
            talk.ask();
            // What is wrong with it shows again when it is read from.
            let _ = talk.write();
        }
        Ok(Some(talk))
    }

    /// The process that listens on the monitor, if it can be told.
    pub(super) fn pid(&self) -> Option<i32> {
        self.transport.peer_pid()
    }

    pub(super) fn has_greeted(&self) -> bool {
        self.stage != Stage::Connected
    }

    /// Whether there is something to write that the monitor had no room for yet.
    pub(super) fn is_writing(&self) -> bool {
        self.sent < self.output.len()
    }

    /// The replies up to now.
    pub(super) fn into_replies(self) -> Vec<Result<Message>> {
        self.replies
    }

    /// Writes and reads what it can; true when the last reply has come.
    ///
    /// It reads once: the loop comes back, and a monitor that never stops talking keeps nobody
    /// else waiting.
    pub(super) fn step(&mut self) -> Step<bool> {
        self.write()?;
        match self.transport.read() {
            Ok(None) => return Ok(false),
            Ok(Some([])) => return Err(self.lost("the other side closed it".to_owned())),
            Ok(Some(bytes)) => self.codec.feed(bytes),
            Err(errno) => return Err(self.lost(errno::text(errno))),
        }
        while let Some(line) = self
            .codec
            .next_line()
            .map_err(|bad| self.wrong(bad.to_string()))?
        {
            let message = Message::parse(line).map_err(|bad| self.wrong(bad.0))?;
            self.take(message)?;
        }
        self.write()?;
        Ok(self.stage == Stage::Negotiated && self.replies.len() >= self.questions.len())
    }

    fn take(&mut self, message: Message) -> Step<()> {
        match (&message.kind, self.stage) {
            (Kind::Greeting(_), Stage::Connected) => {
                self.stage = Stage::Greeted;
                if self.output.is_empty() {
                    self.ask();
                }
            }
            // QEMU may greet more than once (seen with a monitor that was opened again).
            (Kind::Event(_) | Kind::Greeting(_), _)
            | (Kind::Reply { id: Some(_), .. }, Stage::Negotiated) => {}
            (Kind::Reply { id, body }, Stage::Greeted) => match (id.as_deref(), body) {
                // An earlier client's command has left negotiation mode for us.
                (Some(ID), _) if message.is_not_found() => self.stage = Stage::Negotiated,
                (Some(ID), Body::Error { desc, .. }) => return Err(self.refused(desc)),
                // Whoever never echoes an id answers by order alone: a test's stand-in.
                (Some(ID) | None, Body::Return(_)) => self.stage = Stage::Negotiated,
                // A client without ids may have left it here.
                (None, Body::Error { desc, .. }) => {
                    if let Some(first) = self.doubt.replace(desc.clone()) {
                        return Err(self.refused(&first));
                    }
                }
                (Some(_), _) => {}
            },
            (Kind::Reply { id: None, .. }, Stage::Negotiated) => self.keep(message),
            (Kind::Reply { .. }, Stage::Connected) => {
                self.rash_replies += 1;
                if self.rash_replies > 1 {
                    return Err(self.wrong(RASH.to_owned()));
                }
            }
            (Kind::Other, _) => {
                let why = "a message that is neither greeting, reply nor event";
                return Err(self.wrong(why.to_owned()));
            }
        }
        Ok(())
    }

    fn ask(&mut self) {
        let mut lines = format!("{{\"execute\":\"{CAPABILITIES}\",\"id\":{ID}}}\n");
        for question in self.questions {
            let arguments = question.arguments.as_deref();
            lines += &command::line(&question.command, arguments, None);
        }
        self.output = lines.into_bytes();
    }

    fn refused(&self, desc: &str) -> ErrorKind {
        self.wrong(format!("it refused {CAPABILITIES}: {desc}"))
    }

    fn keep(&mut self, reply: Message) {
        if let Some(question) = self.questions.get(self.replies.len()) {
            let arguments = question.arguments.as_deref();
            let reply = accept(reply, &question.command, arguments, &[]);
            let reply = reply.map_err(|kind| at(self.transport.path(), kind));
            self.replies.push(reply);
        }
    }

    /// What came is not QMP.
    fn wrong(&self, why: String) -> ErrorKind {
        if self.stage == Stage::Negotiated {
            ErrorKind::Protocol { why }
        } else {
            ErrorKind::Handshake { why }
        }
    }

    fn write(&mut self) -> Step<()> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.transport.write(rest, &[]) {
                Ok(0) => return Ok(()),
                Ok(count) => self.sent += count,
                Err(errno) => return Err(self.lost(errno::text(errno))),
            }
        }
        Ok(())
    }

    /// What it waits for, as words that follow "while".
    pub(super) fn doing(&self) -> String {
        let question = self.questions.get(self.replies.len());
        match (self.stage, question) {
            (Stage::Connected, _) => "waiting for its greeting".to_owned(),
            (Stage::Negotiated, Some(question)) => format!("executing {}", question.command),
            _ => format!("executing {CAPABILITIES}"),
        }
    }

    /// The connection broke.
    pub(super) fn lost(&self, why: String) -> ErrorKind {
        if let (Some(desc), Stage::Greeted) = (&self.doubt, self.stage) {
            return self.refused(desc);
        }
        ErrorKind::Lost {
            doing: self.doing(),
            why,
        }
    }
}

impl AsFd for Talk<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}
