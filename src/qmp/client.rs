//! A session over a transport: blocking calls with one deadline each.

use std::fmt::Arguments;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::command::CAPABILITIES;
use super::error::{ErrorKind, PeerState, QmpError, Result};
use super::message::{Greeting, Kind, Message};
use super::session::{BadStream, Session, Want};
use super::to_error::{accept, at, ended_kind, is_callers, why_not_connected};
use super::transport::{Ended, Transport, Wait};
use super::{peer_state, secrets};
use crate::errno;

/// Lists the commands that this QEMU knows.
const QUERY_COMMANDS: &str = "query-commands";

/// A connected client. After an error that does not keep the connection it must be dropped.
#[derive(Debug)]
pub struct Client {
    session: Session,
    transport: Transport,
    greeting: Greeting,
    greeted: bool,
    /// The secrets of the messages that the caller wrote: which one is refused shows later.
    secrets: Vec<String>,
}

impl Client {
    /// Connects, takes the greeting and leaves negotiation mode.
    ///
    /// `early`: it asks to leave it before the greeting has come, as QEMU lets its clients do, and
    /// does not wait for the reply: a refusal shows when the first command waits for its own.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; nothing is left open.
    pub fn connect(path: &Path, limit: usize, early: bool, wait: &Wait<'_>) -> Result<Self> {
        let transport = Transport::connect(path, wait).map_err(|ended| {
            let kind = match ended {
                Ended::Failed(errno) => ErrorKind::Connect {
                    why: why_not_connected(path, errno),
                },
                other => ended_kind(other, format_args!("connecting"), wait, || {
                    peer_state::state(path, None, false)
                }),
            };
            at(path, kind)
        })?;
        let mut client = Self {
            session: Session::new(limit),
            transport,
            greeting: Greeting::default(),
            greeted: false,
            secrets: Vec::new(),
        };
        client.shake_hands(early, wait)?;
        Ok(client)
    }

    fn shake_hands(&mut self, early: bool, wait: &Wait<'_>) -> Result<()> {
        if early {
            let (_, line) = self.session.negotiate();
            // What is wrong with it shows again when it is read from.
            let _ = self.transmit(&line, &[], format_args!("connecting"), wait);
        }
        let greeting = self.wait_for(
            &Want::Greeting,
            format_args!("waiting for its greeting"),
            wait,
        )?;
        if let Kind::Greeting(greeting) = greeting.kind {
            self.greeting = greeting;
        }
        self.greeted = true;
        if early {
            return Ok(());
        }
        let (pending, line) = self.session.negotiate();
        self.transmit(&line, &[], format_args!("executing {CAPABILITIES}"), wait)?;
        self.wait_for(
            &Want::Reply(&pending),
            format_args!("executing {CAPABILITIES}"),
            wait,
        )
        .map(drop)
    }

    /// The reason why nothing came, if the peer said one before; an interrupt needs none.
    fn explained(&self, error: QmpError) -> QmpError {
        let unanswered = matches!(
            error.kind,
            ErrorKind::TimedOut { .. } | ErrorKind::Lost { .. }
        );
        match self.session.unattributed() {
            Some(why) if unanswered && !self.session.is_negotiated() => {
                self.error(ErrorKind::Handshake { why })
            }
            _ => error,
        }
    }

    /// The names of the commands that this QEMU knows.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits.
    pub fn query_commands(&mut self, wait: &Wait<'_>) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Command {
            name: String,
        }
        let reply = self.execute(QUERY_COMMANDS, None, &[], wait)?;
        let commands: Vec<Command> = self.read(QUERY_COMMANDS, &reply)?;
        Ok(commands.into_iter().map(|command| command.name).collect())
    }

    /// A reply's value, of the type that QEMU documents for the command.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if it is of another.
    pub(super) fn read<T: DeserializeOwned>(&self, command: &str, reply: &Message) -> Result<T> {
        let value = reply.payload().map(serde_json::from_str);
        value.and_then(std::result::Result::ok).ok_or_else(|| {
            self.error(ErrorKind::Protocol {
                why: format!("a reply to {command} that is not of the type that QEMU documents"),
            })
        })
    }

    /// Who greeted.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// The process that listens on the monitor, if it can be told.
    #[must_use]
    pub fn peer_pid(&self) -> Option<i32> {
        self.transport.peer_pid()
    }

    /// The socket, for whoever waits for it to become readable.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.transport.as_fd().as_raw_fd()
    }

    /// The protocol's state: its counters of what was lost or dropped.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Executes a command and gives its reply, a [`Body::Return`].
    ///
    /// `arguments` is JSON text; `fds` travel with the command's first byte.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; [`ErrorKind::Refused`] if QEMU says no.
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Option<&str>,
        fds: &[RawFd],
        wait: &Wait<'_>,
    ) -> Result<Message> {
        let (pending, line) = self.session.begin(command, arguments).map_err(|bad| {
            self.error(ErrorKind::Usage { why: bad.0 })
                .about(command, None)
        })?;
        self.transmit(&line, fds, format_args!("executing {command}"), wait)
            .map_err(|error| error.about(command, None))?;
        let reply = self
            .wait_for(
                &Want::Reply(&pending),
                format_args!("executing {command}"),
                wait,
            )
            .map_err(|error| error.about(command, Some(true)))?;
        self.accept(reply, command, arguments)
    }

    /// Sends a message that the caller wrote (JSON text), with an id if it is a command without one.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits.
    pub fn send(&mut self, text: &str, fds: &[RawFd], wait: &Wait<'_>) -> Result<()> {
        let line = self
            .session
            .adopt(text)
            .map_err(|bad| self.error(ErrorKind::Usage { why: bad.0 }))?;
        self.secrets.extend(secrets::find(Some(text)));
        self.secrets.dedup();
        self.transmit(&line, fds, format_args!("sending a message"), wait)
    }

    /// The next message, whatever it is; what was kept comes first.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; [`ErrorKind::NothingCame`] when the time is over, and the
    /// connection is as good as before.
    pub fn receive(&mut self, wait: &Wait<'_>) -> Result<Message> {
        self.wait_for(&Want::Anything, format_args!("waiting for a message"), wait)
            .map_err(|error| match error.kind {
                ErrorKind::TimedOut { limit, .. } => self.error(ErrorKind::NothingCame { limit }),
                _ => error,
            })
    }

    /// The reply to the oldest command that was sent and not answered yet.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; `command` is for the texts.
    pub fn response(&mut self, command: &str, wait: &Wait<'_>) -> Result<Message> {
        let reply = self.wait_for(
            &Want::OldestReply,
            format_args!("waiting for the reply to {command}"),
            wait,
        )?;
        self.accept(reply, command, None)
    }

    /// The oldest event that has one of the names (None: any) and is about the device, if one is
    /// given; None when the time is over, and the connection is as good as before.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits, but never a time-out.
    pub fn wait_for_event(
        &mut self,
        names: Option<&[String]>,
        device: Option<&str>,
        wait: &Wait<'_>,
    ) -> Result<Option<Message>> {
        let event = Want::Event { names, device };
        match self.wait_for(&event, format_args!("waiting for an event"), wait) {
            Ok(message) => Ok(Some(message)),
            Err(QmpError {
                kind: ErrorKind::TimedOut { .. },
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn accept(&self, reply: Message, command: &str, arguments: Option<&str>) -> Result<Message> {
        accept(reply, command, arguments, &self.secrets).map_err(|kind| self.error(kind))
    }

    fn wait_for(
        &mut self,
        wanted: &Want<'_>,
        doing: Arguments<'_>,
        wait: &Wait<'_>,
    ) -> Result<Message> {
        // A reply is never there as soon as its command has left: that look is spared. Of all
        // else, what has come by the last moment is still taken.
        let mut may_be_there = !matches!(wanted, Want::Reply(_));
        loop {
            if let Some(message) = self.advance(wanted)? {
                return Ok(message);
            }
            let was_there = std::mem::take(&mut may_be_there) && self.fill(doing)?;
            if !was_there {
                let filled = self.fill_in_time(doing, wait);
                filled.map_err(|error| self.explained(error))?;
            }
        }
    }

    fn advance(&mut self, want: &Want<'_>) -> Result<Option<Message>> {
        self.session
            .advance(want)
            .map_err(|bad| self.bad_stream(bad))
    }

    /// Until QEMU takes commands, whatever it says wrong shows that it is no QMP monitor.
    fn bad_stream(&self, bad: BadStream) -> QmpError {
        let why = bad.0;
        self.error(if self.session.is_negotiated() {
            ErrorKind::Protocol { why }
        } else {
            ErrorKind::Handshake { why }
        })
    }

    /// Feeds the session what can be read at once; false if nothing can.
    fn fill(&mut self, doing: Arguments<'_>) -> Result<bool> {
        match self.transport.read() {
            Ok(None) => Ok(false),
            Ok(Some([])) => Err(self.hung_up(doing)),
            Ok(Some(bytes)) => {
                self.session.feed(bytes);
                Ok(true)
            }
            Err(errno) => Err(self.lost(doing, errno::text(errno))),
        }
    }

    /// Feeds the session what comes next.
    fn fill_in_time(&mut self, doing: Arguments<'_>, wait: &Wait<'_>) -> Result<()> {
        match self.transport.read_in_time(wait) {
            Ok([]) => Err(self.hung_up(doing)),
            Ok(bytes) => {
                self.session.feed(bytes);
                Ok(())
            }
            Err(Ended::Failed(errno)) => Err(self.lost(doing, errno::text(errno))),
            Err(ended) => Err(self.ended(ended, doing, wait)),
        }
    }

    fn hung_up(&self, doing: Arguments<'_>) -> QmpError {
        let place = if self.session.is_inside_message() {
            " in the middle of a message"
        } else {
            ""
        };
        self.lost(doing, format!("the other side closed it{place}"))
    }

    fn transmit(
        &mut self,
        bytes: &[u8],
        fds: &[RawFd],
        doing: Arguments<'_>,
        wait: &Wait<'_>,
    ) -> Result<()> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let fds = if sent == 0 { fds } else { &[] };
            match self.transport.write(rest, fds) {
                Ok(0) => self.make_room(doing, wait)?,
                Ok(count) => sent += count,
                Err(errno) if sent == 0 && is_callers(errno, fds) => {
                    self.session.retract();
                    let why = format!("the descriptors cannot be passed: {}", errno::text(errno));
                    return Err(self.error(ErrorKind::Usage { why }));
                }
                Err(errno) => return Err(self.lost(doing, errno::text(errno))),
            }
        }
        Ok(())
    }

    /// Waits for room to write, reading meanwhile: QEMU takes no more commands while it cannot
    /// get rid of its replies and events.
    fn make_room(&mut self, doing: Arguments<'_>, wait: &Wait<'_>) -> Result<()> {
        let ready = self
            .transport
            .ready_to_write(wait)
            .map_err(|ended| self.ended(ended, doing, wait))?;
        if ready.read && self.fill(doing)? {
            self.session.sort().map_err(|bad| self.bad_stream(bad))?;
        }
        Ok(())
    }

    fn error(&self, kind: ErrorKind) -> QmpError {
        at(self.transport.path(), kind)
    }

    fn lost(&self, doing: Arguments<'_>, mut why: String) -> QmpError {
        let state = self.peer_pid().map(peer_state::process_state);
        let state = state.unwrap_or(PeerState::Unknown);
        if !matches!(state, PeerState::Silent(_) | PeerState::Unknown) {
            why = format!("{why}; {state}");
        }
        let doing = doing.to_string();
        let peer = state;
        self.error(ErrorKind::Lost { doing, why, peer })
    }

    fn ended(&self, ended: Ended, doing: Arguments<'_>, wait: &Wait<'_>) -> QmpError {
        let path = self.transport.path();
        self.error(ended_kind(ended, doing, wait, || {
            peer_state::state(path, self.peer_pid(), self.greeted)
        }))
    }
}
