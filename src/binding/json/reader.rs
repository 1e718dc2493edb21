//! JSON text to Python objects, with nothing in between.
//!
//! `serde_json` reads JSON as fast, but hands each string to its visitor bare: to know it again it
//! would have to be looked at once more. This reader meets it as words that tell it from others.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyList, PyString};

use super::keys::{Id, Keys, LONG, Place};
use super::scan;
use super::values::Values;
use crate::qmp::message::MAX_DEPTH;

/// Why a text was not read.
pub(super) enum Stop {
    /// It is no JSON, or holds what Python's own reader knows better: an integer of more than 64
    /// bits, half of a surrogate pair.
    NotMine,
    /// Lists and objects lie too deep in each other.
    TooDeep,
    /// An object could not be made.
    Python(Box<PyErr>),
}

/// Reads a whole text.
pub(super) fn read<'py>(py: Python<'py>, text: &str) -> Result<Bound<'py, PyAny>, Stop> {
    Keys::lend(|known| {
        let mut reader = Reader {
            py,
            rest: text.as_bytes(),
            depth: 0,
            known,
            values: Values::new(text.len()),
            items: Vec::with_capacity(ROOM),
            keys: Vec::with_capacity(ROOM),
            long_keys: Vec::new(),
            stop: Stop::NotMine,
        };
        let value = reader.value(0);
        match (value, reader.peek()) {
            (Some(value), None) => Ok(value),
            _ => Err(reader.stop),
        }
    })
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    rest: &'a [u8],
    depth: usize,
    known: &'a mut Keys,
    values: Values,
    /// The values in the lists and objects that are being read, the innermost's last.
    items: Vec<Bound<'py, PyAny>>,
    /// The keys of the objects that are being read.
    keys: Vec<Id>,
    /// Those among them that are too long to be known.
    long_keys: Vec<Bound<'py, PyString>>,
    /// Says why, when something gave None.
    stop: Stop,
}

impl<'py> Reader<'_, 'py> {
    /// The next byte that is no white space; it stays.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        // as QEMU writes it: nothing, or one blank
        match *self.rest {
            [byte, ..] if byte > b' ' => Some(byte),
            [b' ', byte, ..] if byte > b' ' => {
                self.skip();
                Some(byte)
            }
            _ => self.peek_far(),
        }
    }

    #[cold]
    fn peek_far(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Leaves a byte out.
    #[inline]
    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// The next byte that is no white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.skip();
        Some(byte)
    }

    /// What was made, unless it could not be.
    #[inline]
    fn made<T>(&mut self, result: PyResult<T>) -> Option<T> {
        match result {
            Ok(made) => Some(made),
            Err(error) => {
                self.failed(error);
                None
            }
        }
    }

    #[cold]
    fn failed(&mut self, error: PyErr) {
        self.stop = Stop::Python(Box::new(error));
    }

    #[inline]
    fn value(&mut self, of: Id) -> Option<Bound<'py, PyAny>> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' => self.object(of),
            b'[' => self.list(of),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", |py| PyBool::new(py, true).to_owned().into_any()),
            b'f' => self.word(b"false", |py| PyBool::new(py, false).to_owned().into_any()),
            b'n' => self.word(b"null", |py| py.None().into_bound(py)),
            _ => None,
        }
    }

    #[inline]
    fn word<T>(&mut self, word: &[u8], make: impl FnOnce(Python<'py>) -> T) -> Option<T> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(make(self.py))
    }

    /// Goes into a list or an object.
    #[inline]
    fn enter(&mut self) -> Option<()> {
        if self.depth == MAX_DEPTH {
            self.stop = Stop::TooDeep;
            return None;
        }
        self.depth += 1;
        self.skip();
        Some(())
    }

    fn object(&mut self, of: Id) -> Option<Bound<'py, PyAny>> {
        self.enter()?;
        let (first_key, first_item) = (self.keys.len(), self.items.len());
        let first_long = self.long_keys.len();
        if self.peek()? == b'}' {
            self.skip();
        } else {
            let mut place = Place::FirstIn(of);
            loop {
                let key = self.key(place)?;
                self.keys.push(key);
                place = Place::Behind(key);
                if self.next()? != b':' {
                    return None;
                }
                let value = self.value(key)?;
                self.items.push(value);
                match self.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        self.depth -= 1;
        let keys = self.keys.get(first_key..).unwrap_or_default();
        let values = self.items.drain(first_item..);
        let made = self.known.object(self.py, keys, &self.long_keys, values);
        self.keys.truncate(first_key);
        self.long_keys.truncate(first_long);
        Some(self.made(made)?.into_any())
    }

    fn list(&mut self, of: Id) -> Option<Bound<'py, PyAny>> {
        self.enter()?;
        let first = self.items.len();
        if self.peek()? == b']' {
            self.skip();
        } else {
            loop {
                let item = self.value(of)?;
                self.items.push(item);
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.depth -= 1;
        let made = PyList::new(self.py, self.items.drain(first..));
        Some(self.made(made)?.into_any())
    }

    #[inline]
    fn key(&mut self, place: Place) -> Option<Id> {
        if self.peek()? != b'"' {
            return None;
        }
        let bytes = self.rest.get(1..)?;
        if let Some((id, length)) = self.known.guess(place, bytes) {
            self.rest = bytes.get(length..)?;
            return Some(id);
        }
        self.other_key(place)
    }

    #[inline(never)]
    fn other_key(&mut self, place: Place) -> Option<Id> {
        let bytes = self.rest.get(1..)?;
        let found = self.known.find(self.py, place, bytes);
        if let Some((id, length)) = self.made(found)? {
            self.rest = bytes.get(length..)?;
            return Some(id);
        }
        let key = self.long_string()?;
        let id = LONG.checked_add(Id::try_from(self.long_keys.len()).ok()?)?;
        self.long_keys.push(key);
        Some(id)
    }

    /// The string whose quotation mark comes next.
    #[inline]
    fn string(&mut self) -> Option<Bound<'py, PyAny>> {
        let bytes = self.rest.get(1..)?;
        let Some((brief, length)) = scan::brief(bytes) else {
            return Some(self.long_string()?.into_any());
        };
        let (text, rest) = bytes.split_at_checked(length)?;
        self.rest = rest;
        let made = self.values.get(self.py, brief, text.get(..length - 1)?);
        Some(self.made(made)?.into_any())
    }

    /// A string of any length.
    fn long_string(&mut self) -> Option<Bound<'py, PyString>> {
        let bytes = self.rest.get(1..)?;
        let length = scan::plain(bytes);
        if bytes.get(length) != Some(&b'"') {
            return self.escaped(length);
        }
        self.rest = bytes.get(length + 1..)?;
        let made = PyString::from_bytes(self.py, bytes.get(..length)?);
        self.made(made)
    }

    /// The same string, when after some plain bytes comes one that is not.
    #[cold]
    fn escaped(&mut self, plain_bytes: usize) -> Option<Bound<'py, PyString>> {
        let bytes = self.rest.get(1..)?;
        let mut length = plain_bytes;
        loop {
            match bytes.get(length)? {
                b'"' => break,
                b'\\' => length += 2,
                _ => return None,
            }
            length += scan::plain(bytes.get(length..)?);
        }
        let quoted = self.rest.get(..length + 2)?;
        self.rest = bytes.get(length + 1..)?;
        let text: String = serde_json::from_slice(quoted).ok()?;
        Some(PyString::new(self.py, &text))
    }

    #[inline]
    fn number(&mut self) -> Option<Bound<'py, PyAny>> {
        let (is_negative, digits) = match self.rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let (mut value, mut rest) = (0_i64, digits);
        while let [digit @ b'0'..=b'9', behind @ ..] = rest {
            // what comes of too many digits is not used
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            rest = behind;
        }
        let count = digits.len() - rest.len();
        if count == 0 || (count > 1 && digits.first() == Some(&b'0')) {
            return None;
        }
        if count > SURE_DIGITS || matches!(rest.first(), Some(b'.' | b'e' | b'E')) {
            return self.long_number();
        }
        self.rest = rest;
        let Ok(value) = (if is_negative { -value } else { value }).into_pyobject(self.py);
        Some(value.into_any())
    }

    #[cold]
    fn long_number(&mut self) -> Option<Bound<'py, PyAny>> {
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest.iter().take_while(is_part).count();
        let (number, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let text = std::str::from_utf8(number).ok()?;
        if text.contains(['.', 'e', 'E']) {
            let value: f64 = serde_json::from_str(text).ok()?;
            return Some(PyFloat::new(self.py, value).into_any());
        }
        if let Ok(value) = text.parse::<i64>() {
            let Ok(value) = value.into_pyobject(self.py);
            return Some(value.into_any());
        }
        let value: u64 = text.parse().ok()?;
        let Ok(value) = value.into_pyobject(self.py);
        Some(value.into_any())
    }
}

/// More than this is seldom open at a time.
const ROOM: usize = 64;

/// So many digits always fit.
const SURE_DIGITS: usize = 18;
