//! The commands whose reply has not come, and their ids.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::time::SystemTime;

use crate::qmp::command;

/// A command on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    pub(super) number: u64,
    /// As JSON text.
    id: String,
}

impl PendingCommand {
    /// Its id as JSON text.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What is known of how the peer answers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// No reply has come.
    #[default]
    Unknown,
    /// A reply without an id was taken: of a test's stand-in, which answers in order.
    Missing,
    /// A reply has come by the id of its command: without an id none is believed from now on.
    Repeated,
}

/// Whose a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The command with this number.
    Command(u64),
    /// Of a peer without ids, for a command that was not sent yet.
    NextCommand,
    /// An earlier client's, or nobody's.
    Nobody,
    /// An error that nobody can tell whose it is.
    Unknown,
}

/// All commands on the wire.
///
/// QEMU carries out one command after the other, and forgets those that wait when their client
/// leaves: at most one reply to an earlier client can come, and only before the reply to our first
/// command. So that one has an id that is nobody else's; later ones count only when it has been
/// answered, and one or two digits will do: QEMU takes two microseconds for each byte.
#[derive(Debug, Default)]
pub(super) struct Commands {
    last_number: u64,
    last_short_id: u64,
    pending: VecDeque<PendingCommand>,
    /// The first command with an id of ours.
    first: Option<PendingCommand>,
    ids: Ids,
    /// An error without an id that came before the first reply; an earlier client may have left it.
    unattributed_error: Option<String>,
}

impl Commands {
    /// A command goes out, with the caller's id or a new one.
    pub(super) fn add(&mut self, callers_id: Option<String>) -> PendingCommand {
        self.last_number += 1;
        let number = self.last_number;
        let is_ours = callers_id.is_none();
        let id = callers_id.unwrap_or_else(|| self.new_id());
        let command = PendingCommand { number, id };
        if is_ours && self.first.is_none() {
            self.first = Some(command.clone());
        }
        self.pending.push_back(command.clone());
        command
    }

    /// Forgets the newest command: it never left.
    pub(super) fn retract(&mut self) {
        let command = self.pending.pop_back();
        if command.is_some() && command == self.first {
            self.first = None;
        }
    }

    fn new_id(&mut self) -> String {
        if self.first.is_none() {
            return command::quote(&random_label());
        }
        let bound = 99.max(self.pending.len() as u64 + 1);
        loop {
            self.last_short_id = self.last_short_id % bound + 1;
            let id = self.last_short_id.to_string();
            if !self.pending.iter().any(|command| command.id == id) {
                return id;
            }
        }
    }

    /// Whether a reply without an id may be somebody's.
    pub(super) fn takes_replies_without_id(&self) -> bool {
        self.ids != Ids::Repeated
    }

    /// An error without an id of which it is not known yet whose it is.
    pub(super) fn unattributed_error(&self) -> Option<&str> {
        self.unattributed_error.as_deref()
    }

    /// The numbers of the commands whose reply has not come.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|command| command.number)
    }

    /// The number of the oldest of them, which a reply without an id answers; it waits no more.
    pub(super) fn take_oldest(&mut self) -> Option<u64> {
        let command = self.pending.pop_front()?;
        self.ids = Ids::Missing;
        Some(command.number)
    }

    /// Whose a reply with this id is; its command waits no more.
    pub(super) fn owner_by_id(&mut self, id: &str) -> Owner {
        let is_first = self.first.as_ref().is_some_and(|first| same(&first.id, id));
        let before_first = match (&self.first, self.ids) {
            // Whatever was sent behind the first command is answered behind it.
            (Some(first), Ids::Unknown) if !is_first => first.number,
            _ => u64::MAX,
        };
        let has_id =
            |command: &PendingCommand| command.number < before_first && same(&command.id, id);
        let place = self.pending.iter().position(has_id);
        if is_first || place.is_some() {
            self.ids = Ids::Repeated;
            // It was an earlier client's.
            self.unattributed_error = None;
        }
        let owner = place.and_then(|place| self.pending.remove(place));
        owner.map_or(Owner::Nobody, |command| Owner::Command(command.number))
    }

    /// Whose a reply without an id is; `error` is what it says if it is an error.
    pub(super) fn owner_by_order(&mut self, error: Option<&str>) -> Owner {
        match (self.ids, error) {
            (Ids::Repeated, None) => return Owner::Nobody,
            (Ids::Repeated, Some(_)) => return Owner::Unknown,
            (Ids::Unknown, Some(_)) if self.unattributed_error.is_some() => return Owner::Unknown,
            (Ids::Unknown, Some(error)) => {
                self.unattributed_error = Some(error.to_owned());
                return Owner::Nobody;
            }
            (Ids::Unknown | Ids::Missing, _) => {}
        }
        self.take_oldest()
            .map_or(Owner::NextCommand, Owner::Command)
    }
}

/// Whether two ids are equal as QEMU writes them: it makes `1` of `1.0`, and sorts keys.
fn same(ours: &str, theirs: &str) -> bool {
    if ours == theirs {
        return true;
    }
    let parse = serde_json::from_str::<serde_json::Value>;
    matches!((parse(ours), parse(theirs)), (Ok(ours), Ok(theirs)) if equal(&ours, &theirs))
}

fn equal(ours: &serde_json::Value, theirs: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (ours, theirs) {
        (Number(ours), Number(theirs)) => {
            let both_whole = !ours.is_f64() && !theirs.is_f64();
            ours == theirs || (!both_whole && ours.as_f64() == theirs.as_f64())
        }
        (Array(ours), Array(theirs)) => {
            let mut pairs = ours.iter().zip(theirs);
            ours.len() == theirs.len() && pairs.all(|(ours, theirs)| equal(ours, theirs))
        }
        (Object(ours), Object(theirs)) => {
            let has = |(key, ours)| theirs.get(key).is_some_and(|theirs| equal(ours, theirs));
            ours.len() == theirs.len() && ours.iter().all(has)
        }
        _ => ours == theirs,
    }
}

/// What no other client has for an id, but for one in ten million: four letters or digits.
///
/// QEMU gives the reply to a slow command to whoever is connected when it is ready, so it must not
/// come again in another connection, nor in another process, forked or not.
fn random_label() -> String {
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
