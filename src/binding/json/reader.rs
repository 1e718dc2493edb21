//! JSON text to Python objects, with nothing in between.
//!
//! `serde_json` reads JSON as fast, but hands each string to its visitor bare: to know it again it
//! would have to be looked at once more. This reader meets it as words that tell it from others.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};

use std::sync::MutexGuard;

use super::names::{self, Name, Names};
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

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Python(Box::new(error))
    }
}

type Read<T> = Result<T, Stop>;

/// Reads a whole text.
pub(super) fn read<'py>(py: Python<'py>, text: &str) -> Read<Bound<'py, PyAny>> {
    let mut reader = Reader {
        py,
        text,
        at: 0,
        depth: 0,
        keys: names::keys(),
        values: names::values(text.len()),
        items: Vec::new(),
    };
    let value = reader.value()?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Stop::NotMine),
    }
}

#[derive(Clone, Copy)]
enum Role {
    Key,
    Value,
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a str,
    at: usize,
    depth: usize,
    keys: Option<MutexGuard<'static, Names>>,
    values: Option<Names>,
    /// The items of the lists that are being read, the innermost's last.
    items: Vec<Bound<'py, PyAny>>,
}

impl<'a, 'py> Reader<'a, 'py> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space; it stays.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn value(&mut self) -> Read<Bound<'py, PyAny>> {
        match self.peek() {
            Some(b'"') => Ok(self.string(Role::Value)?.into_any()),
            Some(b'{') => self.deeper(Self::object),
            Some(b'[') => self.deeper(Self::list),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", |py| PyBool::new(py, true).to_owned().into_any()),
            Some(b'f') => self.word("false", |py| PyBool::new(py, false).to_owned().into_any()),
            Some(b'n') => self.word("null", |py| py.None().into_bound(py)),
            _ => Err(Stop::NotMine),
        }
    }

    fn word<T>(&mut self, word: &str, make: impl FnOnce(Python<'py>) -> T) -> Read<T> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Stop::NotMine);
        }
        self.at += word.len();
        Ok(make(self.py))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Read<Bound<'py, PyAny>> {
        let dict = PyDict::new(self.py);
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(dict.into_any());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(Stop::NotMine);
            }
            let key = self.string(Role::Key)?;
            if self.next() != Some(b':') {
                return Err(Stop::NotMine);
            }
            let value = self.value()?;
            dict.set_item(key, value)?;
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(dict.into_any()),
                _ => return Err(Stop::NotMine),
            }
        }
    }

    fn list(&mut self) -> Read<Bound<'py, PyAny>> {
        let start = self.items.len();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(PyList::empty(self.py).into_any());
        }
        loop {
            let item = self.value()?;
            self.items.push(item);
            match self.next() {
                Some(b',') => {}
                Some(b']') => break,
                _ => return Err(Stop::NotMine),
            }
        }
        Ok(PyList::new(self.py, self.items.drain(start..))?.into_any())
    }

    /// The string whose quotation mark comes next.
    fn string(&mut self, role: Role) -> Read<Bound<'py, PyString>> {
        self.at += 1;
        let bytes = self.rest();
        if let Some((name, length)) = short(bytes)
            && bytes.get(length) == Some(&b'"')
        {
            let text = self.part(length)?;
            self.at += length + 1;
            let names = match role {
                Role::Key => self.keys.as_deref_mut(),
                Role::Value => self.values.as_mut(),
            };
            return Ok(match names {
                Some(names) => names.get(self.py, name, text),
                None => PyString::new(self.py, text),
            });
        }
        let length = plain(bytes);
        if bytes.get(length) != Some(&b'"') {
            return self.escaped(length);
        }
        let text = self.part(length)?;
        self.at += length + 1;
        Ok(PyString::new(self.py, text))
    }

    fn part(&self, length: usize) -> Read<&'a str> {
        let end = self.at + length;
        self.text.get(self.at..end).ok_or(Stop::NotMine)
    }

    /// The same string, when after some plain bytes comes one that is not.
    fn escaped(&mut self, plain_bytes: usize) -> Read<Bound<'py, PyString>> {
        let bytes = self.rest();
        let mut length = plain_bytes;
        loop {
            match bytes.get(length) {
                Some(b'"') => break,
                Some(b'\\') => length += 2,
                _ => return Err(Stop::NotMine),
            }
            length += plain(bytes.get(length..).unwrap_or_default());
        }
        self.at -= 1;
        let quoted = self.part(length + 2)?;
        self.at += length + 2;
        let text: String = serde_json::from_str(quoted).map_err(|_| Stop::NotMine)?;
        Ok(PyString::new(self.py, &text))
    }

    fn number(&mut self) -> Read<Bound<'py, PyAny>> {
        let bytes = self.rest();
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let digits = bytes.get(sign..).unwrap_or_default();
        let (mut value, mut count) = (0_i64, 0);
        while let Some(digit @ b'0'..=b'9') = digits.get(count)
            && count < SURE_DIGITS
        {
            value = value * 10 + i64::from(digit - b'0');
            count += 1;
        }
        if count == 0 || (count > 1 && digits.first() == Some(&b'0')) {
            return Err(Stop::NotMine);
        }
        if matches!(digits.get(count), Some(b'0'..=b'9' | b'.' | b'e' | b'E')) {
            return self.long_number();
        }
        self.at += sign + count;
        let value = if sign == 1 { -value } else { value };
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.into_any())
    }

    fn long_number(&mut self) -> Read<Bound<'py, PyAny>> {
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest().iter().take_while(is_part).count();
        let text = self.part(length)?;
        self.at += length;
        if text.contains(['.', 'e', 'E']) {
            let value: f64 = serde_json::from_str(text).map_err(|_| Stop::NotMine)?;
            return Ok(PyFloat::new(self.py, value).into_any());
        }
        if let Ok(value) = text.parse::<i64>() {
            let Ok(value) = value.into_pyobject(self.py);
            return Ok(value.into_any());
        }
        let value: u64 = text.parse().map_err(|_| Stop::NotMine)?;
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.into_any())
    }
}

/// So many digits always fit.
const SURE_DIGITS: usize = 18;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// A high bit for each byte that is a quotation mark, a backslash or a control character; above
/// the lowest one there may be more than that.
fn special(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH_BITS
}

/// The bytes up to the next special one, and their number, if that is at most fifteen.
fn short(bytes: &[u8]) -> Option<(Name, usize)> {
    let (low, bytes) = bytes.split_first_chunk::<8>()?;
    let low = u64::from_le_bytes(*low);
    let stop = special(low);
    if stop != 0 {
        let (low, length) = before(stop, low);
        return Some((Name { low, high: 0 }, length));
    }
    let high = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let stop = special(high);
    if stop == 0 {
        return None;
    }
    let (high, length) = before(stop, high);
    Some((Name { low, high }, 8 + length))
}

/// The part of a word before its lowest special byte, and the number of its bytes.
fn before(stop: u64, word: u64) -> (u64, usize) {
    let bits = stop.trailing_zeros() & !7;
    (word & !(u64::MAX << bits), (bits / 8) as usize)
}

/// How many bytes there are before the next special one.
fn plain(bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(chunk) = bytes.get(count..).and_then(<[u8]>::first_chunk::<8>) {
        let stop = special(u64::from_le_bytes(*chunk));
        if stop != 0 {
            return count + (stop.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | ..0x20);
    let rest = bytes.get(count..).unwrap_or_default();
    count + rest.iter().take_while(is_plain).count()
}
