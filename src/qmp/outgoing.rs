//! What QEMU's parser would refuse is refused before it is sent.
//!
//! To what it cannot parse QEMU answers with errors that have no id, several of them where a
//! command is too large: nobody could tell whose they are, and that would end the connection.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::IgnoredAny;

use super::message::{BadMessage, explain};

/// QEMU takes lists and objects this deep in each other (`MAX_NESTING`).
pub const MAX_DEPTH: usize = 1024;
/// So many tokens in a command (`MAX_TOKEN_COUNT`).
pub const MAX_TOKENS: usize = 2 << 20;
/// So many bytes in a command (`MAX_TOKEN_SIZE`).
pub const MAX_SIZE: usize = 64 << 20;

/// Looks whether QEMU's parser takes a line.
///
/// # Errors
/// [`BadMessage`] if it does not, with the reason, and nothing of the line's text.
pub fn check(line: &str) -> Result<(), BadMessage> {
    if line.len() > MAX_SIZE {
        return Err(bad(format!("more than {MAX_SIZE} bytes")));
    }
    // It does not recurse: it says only whether the line is JSON.
    serde_json::from_str::<IgnoredAny>(line).map_err(|error| explain(&error, "a message"))?;
    let mut scan = Scan::default();
    let mut rest = line;
    while let Some(first) = rest.bytes().next() {
        let length = token_length(first, rest.as_bytes());
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        scan.take(first, token)?;
        rest = behind;
    }
    Ok(())
}

fn bad(what: impl Into<String>) -> BadMessage {
    BadMessage(format!("a command that QEMU cannot read: {}", what.into()))
}

/// How many bytes the token has that these bytes, which are JSON, begin with.
fn token_length(first: u8, bytes: &[u8]) -> usize {
    let ends = |byte: &u8| {
        matches!(
            byte,
            b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'
        )
    };
    match first {
        b'"' => {
            let mut length = 1;
            while let Some(offset) = bytes
                .get(length..)
                .and_then(|bytes| memchr::memchr2(b'"', b'\\', bytes))
            {
                length += offset;
                if bytes.get(length) == Some(&b'"') {
                    return length + 1;
                }
                length += 2;
            }
            bytes.len()
        }
        b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => 1,
        _ => bytes.iter().position(ends).unwrap_or(bytes.len()),
    }
}

/// How far a line was looked at.
#[derive(Default)]
struct Scan<'a> {
    tokens: usize,
    /// The lists and objects that are open, an object with its keys.
    open: Vec<Option<HashSet<Cow<'a, str>>>>,
    expects_key: bool,
}

impl<'a> Scan<'a> {
    fn take(&mut self, first: u8, token: &'a str) -> Result<(), BadMessage> {
        if first.is_ascii_whitespace() {
            return Ok(());
        }
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            return Err(bad(format!("more than {MAX_TOKENS} tokens")));
        }
        match first {
            b'{' | b'[' => {
                self.open.push((first == b'{').then(HashSet::new));
                self.expects_key = first == b'{';
                if self.open.len() > MAX_DEPTH {
                    let depth = format!("more than {MAX_DEPTH} lists and objects in each other");
                    return Err(bad(depth));
                }
            }
            b'}' | b']' => drop(self.open.pop()),
            b',' => self.expects_key = matches!(self.open.last(), Some(Some(_))),
            b':' => self.expects_key = false,
            b'"' => self.string(token)?,
            b'-' | b'0'..=b'9' if !token.parse::<f64>().is_ok_and(f64::is_finite) => {
                return Err(bad("a number beyond all bounds"));
            }
            _ => {}
        }
        Ok(())
    }

    fn string(&mut self, token: &'a str) -> Result<(), BadMessage> {
        let text = if token.contains('\\') {
            let text: String = serde_json::from_str(token)
                .map_err(|_| bad("a text with half of a surrogate pair"))?;
            Cow::from(text)
        } else {
            Cow::from(token)
        };
        if !text.is_ascii() && text.chars().any(is_noncharacter) {
            return Err(bad("a text with what Unicode says is no character"));
        }
        if let (true, Some(Some(keys))) = (self.expects_key, self.open.last_mut()) {
            let text = match text {
                Cow::Borrowed(token) => Cow::from(token.trim_matches('"')),
                escaped @ Cow::Owned(_) => escaped,
            };
            if !keys.insert(text) {
                return Err(bad("an object with the same key twice"));
            }
        }
        Ok(())
    }
}

/// U+FDD0 to U+FDEF, and the last two of each plane: QEMU refuses them.
fn is_noncharacter(char: char) -> bool {
    let code = u32::from(char);
    matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
}

/// How many tokens a text has that may be no JSON; None if it goes deeper than `depth`.
#[must_use]
pub fn count(text: &str, depth: usize) -> Option<usize> {
    let (mut tokens, mut open) = (0, 0_usize);
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let length = token_length(first, rest.as_bytes()).max(1);
        (_, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        tokens += usize::from(!first.is_ascii_whitespace());
        match first {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > depth {
            return None;
        }
    }
    Some(tokens)
}
