//! Bytes in, lines out: incremental, each byte looked at once, with a limit.

use std::fmt;
use std::str::Utf8Error;

/// The largest message that is taken unless another limit is set: 16 MiB.
pub const DEFAULT_LIMIT: usize = 16 << 20;

/// Why a stream can not be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecError {
    /// A message is longer than the limit, in bytes.
    TooLong(usize),
    /// A message is not UTF-8; the number of its first wrong byte.
    NotUtf8(usize),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(limit) => write!(f, "a message of more than {limit} bytes"),
            Self::NotUtf8(at) => write!(f, "a message with bad UTF-8 at byte {at}"),
        }
    }
}

impl std::error::Error for CodecError {}

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct Codec {
    buffer: Vec<u8>,
    /// Where the first byte lies that was not given out yet.
    start: usize,
    /// Where the search for the end of the line goes on.
    scanned: usize,
    limit: usize,
    failed: Option<CodecError>,
    work: u64,
}

impl Codec {
    /// A codec for messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            limit,
            failed: None,
            work: 0,
        }
    }

    /// The limit of a message, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes were looked at or moved so far: a small multiple of what was fed.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// How many bytes of lines that were not given out are there.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.rest().len()
    }

    /// Whether the stream stands in the middle of a message.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.rest().iter().any(|byte| !byte.is_ascii_whitespace())
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line, without its end; None until more has come. Blank lines are left out.
    ///
    /// # Errors
    /// [`CodecError`], from then on for ever: after it nobody knows where a message starts.
    pub fn next_line(&mut self) -> Result<Option<String>, CodecError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.cut().inspect_err(|error| {
            self.failed = Some(*error);
            self.buffer = Vec::new();
            self.start = 0;
            self.scanned = 0;
        })
    }

    fn cut(&mut self) -> Result<Option<String>, CodecError> {
        loop {
            let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(offset) = memchr::memchr(b'\n', fresh) else {
                self.work += fresh.len() as u64;
                self.scanned = self.buffer.len();
                if self.rest().len() > self.limit {
                    return Err(CodecError::TooLong(self.limit));
                }
                return Ok(None);
            };
            self.work += offset as u64 + 1;
            let end = self.scanned + offset;
            if end - self.start > self.limit {
                return Err(CodecError::TooLong(self.limit));
            }
            self.work += (end - self.start) as u64;
            let text = self.take(end)?;
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }

    /// Takes the line that ends at `end` out of the buffer.
    fn take(&mut self, end: usize) -> Result<String, CodecError> {
        let not_utf8 = |error: Utf8Error| CodecError::NotUtf8(error.valid_up_to());
        if self.start == 0 && end + 1 == self.buffer.len() {
            // Nothing else has come: a large reply need not be copied.
            let mut line = std::mem::take(&mut self.buffer);
            self.scanned = 0;
            line.truncate(line.trim_ascii_end().len());
            let text = String::from_utf8(line).map_err(|error| not_utf8(error.utf8_error()))?;
            if text.trim().len() < text.len() {
                return Ok(text.trim().to_owned());
            }
            return Ok(text);
        }
        let line = self.buffer.get(self.start..end).unwrap_or_default();
        let text = std::str::from_utf8(line).map_err(not_utf8)?;
        let text = text.trim().to_owned();
        self.start = end + 1;
        self.scanned = self.start;
        Ok(text)
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Forgets what was given out, but moves the rest only if that is the smaller part: so that
    /// a flood of small messages costs no more than a few large ones.
    fn compact(&mut self) {
        let rest = self.buffer.len() - self.start;
        if rest == 0 {
            self.buffer.clear();
        } else if self.start > rest {
            self.work += rest as u64;
            self.buffer.drain(..self.start);
        } else {
            return;
        }
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > (1 << 20) {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf_or_crlf_and_blank_ones_are_left_out() {
        let mut codec = Codec::new(100);
        codec.feed(b"{}\r\n\n\r\n  \n{\"a\": 1}\n{\"b\"");
        assert_eq!(codec.next_line(), Ok(Some("{}".to_owned())));
        assert_eq!(codec.next_line(), Ok(Some("{\"a\": 1}".to_owned())));
        assert_eq!(codec.next_line(), Ok(None));
        assert!(codec.is_inside_message());
        codec.feed(b": 2}\r\n");
        assert_eq!(codec.next_line(), Ok(Some("{\"b\": 2}".to_owned())));
        assert!(!codec.is_inside_message());
    }

    #[test]
    fn an_error_stays() {
        let mut codec = Codec::new(4);
        codec.feed(b"12345");
        assert_eq!(codec.next_line(), Err(CodecError::TooLong(4)));
        codec.feed(b"\n{}\n");
        assert_eq!(codec.next_line(), Err(CodecError::TooLong(4)));
    }

    #[test]
    fn bad_utf8_says_where() {
        let mut codec = Codec::new(100);
        codec.feed(b"{\"a\": \"\xff\"}\n");
        assert_eq!(codec.next_line(), Err(CodecError::NotUtf8(7)));
    }
}
