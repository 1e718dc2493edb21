//! Strings that were seen before.

use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A text of at most fifteen bytes, none of them zero, padded with zeros: two words to compare
/// instead of a string.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) low: u64,
    pub(super) high: u64,
}

/// String objects by their texts; where two texts want one place, the last one has it.
///
/// An object that exists already knows its hash, which a dictionary needs.
pub(super) struct Names {
    slots: Vec<Option<(Name, Py<PyString>)>>,
    bits: u32,
}

impl Names {
    /// So many `bits` of a hash choose the place.
    const fn new(bits: u32) -> Self {
        Self {
            slots: Vec::new(),
            bits,
        }
    }

    /// The string for `text`, which is what `name` stands for.
    pub(super) fn get<'py>(
        &mut self,
        py: Python<'py>,
        name: Name,
        text: &str,
    ) -> Bound<'py, PyString> {
        if self.slots.is_empty() {
            self.slots.resize_with(1 << self.bits, || None);
        }
        let mixed = name.low ^ name.high.rotate_left(29);
        let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits);
        let place = usize::try_from(hash).unwrap_or_default();
        match self.slots.get_mut(place) {
            Some(Some((known, string))) if *known == name => string.bind(py).clone(),
            Some(slot) => {
                let string = PyString::new(py, text);
                *slot = Some((name, string.clone().unbind()));
                string
            }
            None => PyString::new(py, text),
        }
    }
}

/// The keys of QEMU's objects: some hundreds, which come again and again.
static KEYS: Mutex<Names> = Mutex::new(Names::new(10));

/// The known keys, unless they are in use: making an object may run any code, a finalizer's too.
pub(super) fn keys() -> Option<MutexGuard<'static, Names>> {
    KEYS.try_lock().ok()
}

/// In a shorter text hardly any value comes twice.
const SHORT_TEXT: usize = 32 << 10;

/// The values of one text. They are kept no longer: one may be a secret.
pub(super) fn values(size: usize) -> Option<Names> {
    (size > SHORT_TEXT).then(|| Names::new(8))
}
