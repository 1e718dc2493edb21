//! The end of QEMU's negotiation mode, and what an earlier client left in its way.

use super::message::{Body, Kind, Message};

/// What came of the wish to leave negotiation mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Negotiation {
    /// Nothing is open.
    #[default]
    Settled,
    /// It is a command with an id, whose reply has not come.
    Command,
    /// It was asked for without an id, nobody waits for it, and the reply has not come.
    Aside,
    /// There was an error without an id: its own, or of an earlier client's last command.
    Refused(String),
}

impl Negotiation {
    /// Why the peer did not leave negotiation mode, if it did not.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(why) => Some(why),
            Self::Settled | Self::Command | Self::Aside => None,
        }
    }

    /// Whether a message is all that the end of negotiation brings, and nobody's reply.
    ///
    /// An error without an id is not believed at once: a client without ids may have left it here.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let Kind::Reply { id: None, body } = &message.kind else {
            return false;
        };
        let (next, taken) = match (&*self, body) {
            (Self::Settled, _) | (Self::Refused(_), Body::Error { .. }) => return false,
            // Of a peer that never repeats ids.
            (Self::Command, Body::Return(_)) => (Self::Settled, false),
            (_, Body::Return(_)) => (Self::Settled, true),
            (_, Body::Error { desc, .. }) => (Self::Refused(desc.clone()), true),
        };
        *self = next;
        taken
    }
}
