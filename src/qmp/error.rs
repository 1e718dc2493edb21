//! What can go wrong, by what the caller can do about it.

use std::fmt;
use std::time::Duration;

/// What is known of a peer that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// Its process is gone.
    Gone(i32),
    /// Its process has ended, and nobody has collected it yet.
    Zombie(i32),
    /// Its process is stopped (SIGSTOP, or a debugger).
    Stopped(i32),
    /// No greeting, and somebody else is connected: QEMU serves one client at a time. His process,
    /// if it can be seen from here.
    HeldByAnother(Option<i32>),
    /// It runs, and did not answer.
    Silent(i32),
    /// Nothing is known.
    Unknown,
}

impl PeerState {
    /// The process, if it is known: the one that holds the monitor where that is another client.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Gone(pid) | Self::Zombie(pid) | Self::Stopped(pid) | Self::Silent(pid) => {
                Some(*pid)
            }
            Self::HeldByAnother(pid) => *pid,
            Self::Unknown => None,
        }
    }

    /// The state in one word, or none if nothing is known.
    #[must_use]
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Gone(_) => Some("gone"),
            Self::Zombie(_) => Some("ended"),
            Self::Stopped(_) => Some("stopped"),
            Self::HeldByAnother(_) => Some("busy"),
            Self::Silent(_) => Some("silent"),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(pid) => write!(f, "its process {pid} is gone"),
            Self::Zombie(pid) => write!(f, "its process {pid} has ended"),
            Self::Stopped(pid) => write!(f, "its process {pid} is stopped"),
            Self::HeldByAnother(None) => f.write_str("another client holds this monitor"),
            Self::HeldByAnother(Some(pid)) => {
                write!(f, "another client holds this monitor: process {pid}")
            }
            Self::Silent(pid) => write!(f, "its process {pid} is alive but does not answer"),
            Self::Unknown => f.write_str("there is no answer"),
        }
    }
}

/// A failure of a QMP connection. Every text names the monitor's path; none has a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QmpError {
    /// The monitor's path.
    pub path: String,
    /// What happened.
    pub kind: ErrorKind,
    /// The command that the call was about, if it was about one.
    pub command: Option<Box<str>>,
    /// Whether that command left: all of it, none of it, or nobody can tell.
    pub sent: Option<bool>,
}

impl QmpError {
    /// What happened at a monitor, with what its kind tells.
    #[must_use]
    pub fn new(path: String, kind: ErrorKind) -> Self {
        let command = match &kind {
            ErrorKind::NotSupported { command } | ErrorKind::Refused { command, .. } => {
                Some(command.as_str().into())
            }
            _ => None,
        };
        Self {
            path,
            sent: kind.sent(),
            kind,
            command,
        }
    }

    /// The same, about this command, of which so much is known.
    #[must_use]
    pub(super) fn about(mut self, command: &str, sent: Option<bool>) -> Self {
        self.command = Some(command.into());
        self.sent = self.kind.sent().or(sent);
        self
    }
}

/// What happened, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The monitor could not be reached.
    Connect {
        /// Why.
        why: String,
    },
    /// Somebody answered who does not speak QMP.
    Handshake {
        /// How that showed.
        why: String,
    },
    /// This QEMU does not know the command; it was not sent.
    NotSupported {
        /// The command.
        command: String,
    },
    /// QEMU answered with an error: the command was not carried out.
    Refused {
        /// The command.
        command: String,
        /// QEMU's error class.
        class: String,
        /// QEMU's own words, without secrets.
        desc: String,
    },
    /// The deadline passed.
    TimedOut {
        /// What the call was doing, as words that follow "while".
        doing: String,
        /// The call's whole time.
        limit: Duration,
        /// What is known of the other side.
        peer: PeerState,
    },
    /// The connection broke; whether a command that was sent is carried out is unknown.
    Lost {
        /// What the call was doing, as words that follow "while".
        doing: String,
        /// How it broke.
        why: String,
        /// What is known of the other side.
        peer: PeerState,
    },
    /// What came is not QMP.
    Protocol {
        /// What is wrong with it.
        why: String,
    },
    /// There is no connection to use.
    NotConnected,
    /// Another process connected, of which this one was forked: the replies are for that one.
    OtherProcess {
        /// The process that connected.
        pid: u32,
    },
    /// No message came in time; the connection is as good as before.
    NothingCame {
        /// The call's whole time.
        limit: Duration,
    },
    /// The call itself was wrong; nothing was sent.
    Usage {
        /// What is wrong with it.
        why: String,
    },
    /// Another thread's calls left no time for this one; nothing was sent, nothing is broken.
    NoTurn {
        /// The call's whole time.
        limit: Duration,
    },
    /// A signal handler ended the wait; the caller has its reason.
    Interrupted,
}

impl ErrorKind {
    /// Whether a command left, where the kind alone tells.
    fn sent(&self) -> Option<bool> {
        match self {
            Self::Refused { .. } => Some(true),
            Self::TimedOut { .. }
            | Self::Lost { .. }
            | Self::Protocol { .. }
            | Self::NothingCame { .. }
            | Self::Interrupted => None,
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::NotSupported { .. }
            | Self::NotConnected
            | Self::OtherProcess { .. }
            | Self::Usage { .. }
            | Self::NoTurn { .. } => Some(false),
        }
    }

    /// What is known of the other side.
    #[must_use]
    pub fn peer(&self) -> &PeerState {
        match self {
            Self::TimedOut { peer, .. } | Self::Lost { peer, .. } => peer,
            _ => &PeerState::Unknown,
        }
    }

    /// The call's whole time, where that is over.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        match self {
            Self::TimedOut { limit, .. } | Self::NothingCame { limit } | Self::NoTurn { limit } => {
                Some(*limit)
            }
            _ => None,
        }
    }

    /// Whether the connection can still be used after this.
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        match self {
            Self::NotSupported { .. }
            | Self::Refused { .. }
            | Self::Usage { .. }
            | Self::NothingCame { .. }
            | Self::NoTurn { .. } => true,
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::TimedOut { .. }
            | Self::Lost { .. }
            | Self::Protocol { .. }
            | Self::NotConnected
            | Self::OtherProcess { .. }
            | Self::Interrupted => false,
        }
    }
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.kind {
            ErrorKind::Connect { why } => write!(f, "cannot connect to the monitor {path}: {why}"),
            ErrorKind::Handshake { why } => write!(f, "{path} does not speak QMP: {why}"),
            ErrorKind::NotSupported { command } => {
                write!(f, "the QEMU at {path} has no command {command:?}")
            }
            ErrorKind::Refused {
                command,
                class,
                desc,
            } => write!(f, "the QEMU at {path} refused {command}: {desc} ({class})"),
            ErrorKind::TimedOut { doing, limit, peer } => write!(
                f,
                "no answer from the monitor {path} within {} s while {doing}: {peer}",
                limit.as_secs_f64()
            ),
            ErrorKind::Lost { doing, why, .. } => {
                write!(f, "the connection to {path} broke while {doing}: {why}")
            }
            ErrorKind::Protocol { why } => write!(f, "{path} sent what is not QMP: {why}"),
            ErrorKind::NotConnected => write!(f, "not connected to the monitor {path}"),
            ErrorKind::OtherProcess { pid } => write!(
                f,
                "not connected to the monitor {path}: process {pid} connected, and a connection \
                 belongs to the process that made it; this one has to connect for itself"
            ),
            ErrorKind::NothingCame { limit } => write!(
                f,
                "nothing came from the monitor {path} within {} s; the connection is kept",
                limit.as_secs_f64()
            ),
            ErrorKind::Usage { why } => write!(f, "nothing was sent to {path}: {why}"),
            ErrorKind::NoTurn { limit } => write!(
                f,
                "another thread's call to the monitor {path} did not end within {} s",
                limit.as_secs_f64()
            ),
            ErrorKind::Interrupted => write!(f, "the call to the monitor {path} was interrupted"),
        }
    }
}

impl std::error::Error for QmpError {}

/// What the QMP calls give.
pub type Result<T> = std::result::Result<T, QmpError>;
