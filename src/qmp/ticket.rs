//! Which reply is whose: commands that wait, and their ids.

use std::hash::{BuildHasher, Hasher};
use std::time::SystemTime;

/// A command on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub(super) number: u64,
    /// As JSON text, if it has one.
    pub(super) id: Option<String>,
}

impl Ticket {
    /// Whether a reply with this id answers it.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.id.as_deref().is_some_and(|ours| same(ours, id))
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

/// What no other command has for an id, but for one in ten million: four letters or digits.
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
