//! Keys that were seen before, and objects by their keys.
//!
//! A QEMU's replies are lists of objects of a few forms. So the key that came after this one last
//! time is most likely the next one again: comparing is less than searching for its end. And an
//! object of many keys begins as a copy of one that has them all, rather than growing twice.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::scan::{self, Name};

/// A key by its number. From [`LONG`] on it is none of those that are known.
pub(super) type Id = u32;
pub(super) const LONG: Id = 1 << 16;

/// More than QEMU has. When so many are known, all are forgotten before the next text is read.
const MOST: usize = 2048;
/// So many bits of a hash choose the place of a key, and of a shape.
const BITS: u32 = 12;
const SHAPE_BITS: u32 = 6;

struct Known {
    name: Name,
    mask: [u64; 4],
    length: usize,
    string: Py<PyString>,
}

impl Known {
    fn new(name: Name, length: usize, string: Py<PyString>) -> Self {
        let mask = name.mask();
        Self {
            name,
            mask,
            length,
            string,
        }
    }
}

/// Which keys came after one, the last time.
#[derive(Clone, Copy, Default)]
struct Guess {
    /// As the first one in the object, or in the list of objects, that is its value.
    first: Id,
    /// Behind it in the same object.
    behind: Id,
}

/// Where the next key is guessed: behind another one, or as the first one in its object.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Behind(Id),
    FirstIn(Id),
}

/// The keys of QEMU's objects: some hundreds, which come again and again, in the same order.
///
/// A string that exists already knows its hash, which a dictionary needs.
pub(super) struct Keys {
    known: Vec<Known>,
    table: Vec<Id>,
    /// For each key.
    guesses: Vec<Guess>,
    shapes: Vec<Option<Shape>>,
}

static KEYS: Mutex<Keys> = Mutex::new(Keys::new());

impl Keys {
    const fn new() -> Self {
        Self {
            known: Vec::new(),
            table: Vec::new(),
            guesses: Vec::new(),
            shapes: Vec::new(),
        }
    }

    /// Lends the keys, or new ones if they are in use: making an object may run any code, a
    /// finalizer's too.
    pub(super) fn lend<T>(call: impl FnOnce(&mut Self) -> T) -> T {
        let Ok(mut keys) = KEYS.try_lock() else {
            return call(&mut Self::new());
        };
        if keys.known.len() >= MOST {
            *keys = Self::new();
        }
        call(&mut keys)
    }

    /// The known key that these bytes most likely begin with, and the number of its bytes.
    #[inline]
    pub(super) fn guess(&self, place: Place, bytes: &[u8]) -> Option<(Id, usize)> {
        let bytes = bytes.first_chunk()?;
        let guess = match place {
            Place::FirstIn(id) => self.guesses.get(id as usize)?.first,
            Place::Behind(id) => self.guesses.get(id as usize)?.behind,
        };
        let known = self.known.get(guess as usize)?;
        let begins = known.name.begins(&known.mask, bytes);
        begins.then_some((guess, known.length))
    }

    /// The same, looked up, and known from now on; None if it is long or hard to read.
    pub(super) fn find(
        &mut self,
        py: Python<'_>,
        place: Place,
        bytes: &[u8],
    ) -> PyResult<Option<(Id, usize)>> {
        let Some((name, length)) = scan::short(bytes) else {
            return Ok(None);
        };
        if self.table.is_empty() {
            self.table.resize(1 << BITS, Id::MAX);
        }
        // less than half of the table is in use: there is an end to this
        let mut slot = usize::try_from(name.hash() >> (64 - BITS)).unwrap_or_default();
        let id = loop {
            let id = self.table.get(slot).copied().unwrap_or(Id::MAX);
            match self.known.get(id as usize) {
                Some(known) if known.name == name => break id,
                Some(_) => slot = (slot + 1) % (1 << BITS),
                None if self.known.len() < MOST => {
                    let text = bytes.get(..length - 1).unwrap_or_default();
                    let string = PyString::from_bytes(py, text)?.unbind();
                    break self.add(slot, Known::new(name, length, string));
                }
                None => return Ok(None),
            }
        };
        let (Place::FirstIn(from) | Place::Behind(from)) = place;
        if let Some(guess) = self.guesses.get_mut(from as usize) {
            match place {
                Place::FirstIn(_) => guess.first = id,
                Place::Behind(_) => guess.behind = id,
            }
        }
        Ok(Some((id, length)))
    }

    fn add(&mut self, slot: usize, known: Known) -> Id {
        let id = Id::try_from(self.known.len()).unwrap_or(Id::MAX);
        self.known.push(known);
        self.guesses.push(Guess::default());
        if let Some(place) = self.table.get_mut(slot) {
            *place = id;
        }
        id
    }

    /// An object with these keys and as many values; `long` are the keys that are not known.
    #[inline]
    pub(super) fn object<'py>(
        &mut self,
        py: Python<'py>,
        keys: &[Id],
        long: &[Bound<'py, PyString>],
        values: impl Iterator<Item = Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let dict = if keys.len() > SMALL && keys.iter().all(|id| *id < LONG) {
            self.with_room(py, keys)?
        } else {
            PyDict::new(py)
        };
        for (id, value) in keys.iter().zip(values) {
            if let Some(known) = self.known.get(*id as usize) {
                dict.set_item(known.string.bind(py), value)?;
            } else if let Some(key) = long.get((*id - LONG) as usize) {
                dict.set_item(key, value)?;
            }
        }
        Ok(dict)
    }

    /// A dictionary with these keys, and no values that count.
    fn with_room<'py>(&mut self, py: Python<'py>, keys: &[Id]) -> PyResult<Bound<'py, PyDict>> {
        if self.shapes.is_empty() {
            self.shapes.resize_with(1 << SHAPE_BITS, || None);
        }
        let mix = |hash: u64, id: &Id| (hash ^ u64::from(*id)).wrapping_mul(scan::MIX);
        let place = keys.iter().fold(0, mix) >> (64 - SHAPE_BITS);
        let slot = self
            .shapes
            .get_mut(usize::try_from(place).unwrap_or_default());
        if let Some(Some(shape)) = &slot
            && *shape.keys == *keys
        {
            return shape.empty.bind(py).copy();
        }
        let empty = PyDict::new(py);
        for known in keys.iter().filter_map(|id| self.known.get(*id as usize)) {
            empty.set_item(known.string.bind(py), py.None())?;
        }
        let dict = empty.copy()?;
        if let Some(slot) = slot {
            *slot = Some(Shape {
                keys: keys.into(),
                empty: empty.unbind(),
            });
        }
        Ok(dict)
    }
}

/// A dictionary with so many keys or fewer never grew.
const SMALL: usize = 5;

/// The keys of objects, in their order.
struct Shape {
    keys: Box<[Id]>,
    /// Has these keys already, and None for each: a copy is made in one step, and never grows.
    empty: Py<PyDict>,
}
