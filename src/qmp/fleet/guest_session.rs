//! One guest's part: greeting, then all commands at once, then their replies.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;

use super::Question;
use crate::errno;
use crate::qmp::command::CAPABILITIES;
use crate::qmp::error::{ErrorKind, PeerState, Result};
use crate::qmp::message::Message;
use crate::qmp::peer_state;
use crate::qmp::session::{BadStream, PendingCommand, Session, Want};
use crate::qmp::to_error::{accept, at};
use crate::qmp::transport::Transport;

type Step<T> = std::result::Result<T, ErrorKind>;

/// A connection on which nothing ever waits.
pub(super) struct GuestSession<'a> {
    transport: Transport,
    session: Session,
    questions: &'a [Question],
    /// One for each question, as soon as they were asked.
    pending: Vec<PendingCommand>,
    has_greeted: bool,
    output: Vec<u8>,
    sent: usize,
    replies: Vec<Result<Message>>,
    reply_bytes: usize,
}

impl<'a> GuestSession<'a> {
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
        let mut guest = Self {
            transport,
            session: Session::without_events(limit),
            questions,
            pending: Vec::with_capacity(questions.len()),
            has_greeted: false,
            output: Vec::new(),
            sent: 0,
            replies: Vec::new(),
            reply_bytes: 0,
        };
        if early {
            // What is wrong with it shows again when it is read from.
            let _ = guest.ask().and_then(|()| guest.write());
        }
        Ok(Some(guest))
    }

    /// The process that listens on the monitor, if it can be told.
    pub(super) fn pid(&self) -> Option<i32> {
        self.transport.peer_pid()
    }

    pub(super) fn has_greeted(&self) -> bool {
        self.has_greeted
    }

    /// Whether there is something to write that the monitor had no room for yet.
    pub(super) fn is_writing(&self) -> bool {
        self.sent < self.output.len()
    }

    /// How many bytes are held of what it said.
    pub(super) fn held_bytes(&self) -> usize {
        self.reply_bytes + self.session.held_bytes()
    }

    /// How many of them are of replies that were taken.
    pub(super) fn reply_bytes(&self) -> usize {
        self.reply_bytes
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
            Ok(Some(bytes)) => self.session.feed(bytes),
            Err(errno) => return Err(self.lost(errno::text(errno))),
        }
        self.take()?;
        self.write()?;
        Ok(self.session.is_negotiated() && self.replies.len() >= self.questions.len())
    }

    /// Takes what has come whole.
    fn take(&mut self) -> Step<()> {
        if !self.has_greeted {
            if self.advance(&Want::Greeting)?.is_none() {
                return Ok(());
            }
            self.has_greeted = true;
            if self.output.is_empty() {
                self.ask()?;
            }
        }
        while let Some(pending) = self.pending.get(self.replies.len()).cloned() {
            let Some(reply) = self.advance(&Want::Reply(&pending))? else {
                return Ok(());
            };
            self.keep(reply);
        }
        // Without a question there is still the end of negotiation.
        self.session.sort().map_err(|bad| self.wrong(bad))
    }

    fn advance(&mut self, want: &Want<'_>) -> Step<Option<Message>> {
        let came = self.session.advance(want);
        came.map_err(|bad| self.wrong(bad))
    }

    fn ask(&mut self) -> Step<()> {
        let (_, mut lines) = self.session.negotiate();
        for question in self.questions {
            let arguments = question.arguments.as_deref();
            let begun = self.session.begin(&question.command, arguments);
            let (pending, line) = begun.map_err(|bad| ErrorKind::Usage { why: bad.0 })?;
            self.pending.push(pending);
            lines.extend(line);
        }
        self.output = lines;
        Ok(())
    }

    fn keep(&mut self, reply: Message) {
        if let Some(question) = self.questions.get(self.replies.len()) {
            self.reply_bytes += reply.text().len();
            let arguments = question.arguments.as_deref();
            let reply = accept(reply, &question.command, arguments, &[]);
            let reply = reply.map_err(|kind| at(self.transport.path(), kind));
            self.replies.push(reply);
        }
    }

    /// What came is not QMP.
    fn wrong(&self, bad: BadStream) -> ErrorKind {
        if self.session.is_negotiated() {
            ErrorKind::Protocol { why: bad.0 }
        } else {
            ErrorKind::Handshake { why: bad.0 }
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
        if !self.has_greeted {
            return "waiting for its greeting".to_owned();
        }
        let question = self.questions.get(self.replies.len());
        match question.filter(|_| self.session.is_negotiated()) {
            Some(question) => format!("executing {}", question.command),
            None => format!("executing {CAPABILITIES}"),
        }
    }

    /// The connection broke.
    pub(super) fn lost(&self, why: String) -> ErrorKind {
        if let Some(why) = self.unexplained() {
            return ErrorKind::Handshake { why };
        }
        let pid = self.transport.peer_pid();
        ErrorKind::Lost {
            doing: self.doing(),
            why,
            peer: pid.map_or(PeerState::Unknown, peer_state::process_state),
        }
    }

    /// What it said instead of an answer, if it did.
    fn unexplained(&self) -> Option<String> {
        let said = self.session.unattributed();
        said.filter(|_| !self.session.is_negotiated())
    }
}

impl AsFd for GuestSession<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}
