//! The end of QEMU's negotiation mode, where it was asked for without an id and nobody waits for it.

use super::message::{Body, Kind, Message};

/// What came of the wish to leave negotiation mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Negotiation {
    /// Nothing is open.
    Settled,
    /// Its reply has not come.
    Open,
    /// There was an error without an id: its own, or of an earlier client's last command.
    Refused(String),
}

impl Negotiation {
    /// Why the peer did not leave negotiation mode, if it did not.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(why) => Some(why),
            Self::Settled | Self::Open => None,
        }
    }

    /// Whether a message is all that the end of negotiation brings, and nobody's reply.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let Kind::Reply { id: None, body } = &message.kind else {
            return false;
        };
        *self = match (&*self, body) {
            (Self::Settled, _) | (Self::Refused(_), Body::Error { .. }) => return false,
            (_, Body::Return(_)) => Self::Settled,
            (Self::Open, Body::Error { desc, .. }) => Self::Refused(desc.clone()),
        };
        true
    }
}
