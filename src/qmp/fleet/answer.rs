//! What a fleet is asked, and what comes back.

use std::path::PathBuf;

use crate::qmp::error::{ErrorKind, QmpError, Result};
use crate::qmp::message::Message;
use crate::qmp::{command, outgoing};

/// A guest to ask.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its monitor.
    pub path: PathBuf,
    /// Its QEMU, where the caller knows it before: one that is stopped is not connected to.
    pub pid: Option<i32>,
}

/// A command for each guest.
#[derive(Debug, Clone)]
pub struct Question {
    /// The command's name.
    pub command: String,
    /// Its arguments as JSON text.
    pub arguments: Option<String>,
}

impl Question {
    /// Refuses what QEMU's parser would refuse.
    pub(super) fn check(&self) -> Result<()> {
        let line = command::line(&self.command, self.arguments.as_deref(), None);
        outgoing::check(&line)
            .map_err(|bad| QmpError::new("any guest".to_owned(), ErrorKind::Usage { why: bad.0 }))
    }

    /// Whether it changes nothing, as QEMU's names tell.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        self.command.starts_with("query-")
    }
}

/// What became of a guest's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Each command has its reply, or QEMU's refusal.
    Answered,
    /// Another client holds the monitor.
    Busy,
    /// The process is stopped: it answers nobody.
    Stopped,
    /// The process is gone, or nobody listens.
    Gone,
    /// It runs, and did not answer in time.
    Silent,
    /// The connection broke, or what came is not QMP.
    Broken,
}

impl Verdict {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Broken => "broken",
        }
    }
}

/// What a guest said.
#[derive(Debug)]
pub struct Answer {
    /// What became of the questions.
    pub verdict: Verdict,
    /// The process that listens on the monitor, if it was reached.
    pub pid: Option<i32>,
    /// A reply or a refusal for each question, in their order; fewer unless it answered.
    pub replies: Vec<Result<Message>>,
    /// Why there are fewer.
    pub error: Option<QmpError>,
}

impl Answer {
    /// How many bytes its replies have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let replies = self.replies.iter().flatten();
        replies.map(|reply| reply.text().len()).sum()
    }
}
