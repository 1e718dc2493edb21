//! Replies, known by how QEMU begins and ends them.
//!
//! To look for the end of a value takes half as long as to make objects of it, and whoever makes
//! them looks at each byte anyway. So it is left to him, and its place found from both ends.

use std::ops::Range;

use memchr::memmem;

const BEGIN: &str = "{\"return\": ";
const ID: &str = ", \"id\": ";

/// Where the value lies in a reply, and its id as JSON text, if it begins as QEMU writes it.
///
/// Right for all JSON whose id is no list and no object; where the text is none, the value is none
/// either.
pub(super) fn split(text: &str) -> Option<(Range<usize>, Option<&str>)> {
    let body = text.strip_prefix(BEGIN)?.strip_suffix('}')?;
    let whole = BEGIN.len()..BEGIN.len() + body.len();
    // A key: inside a string its quotation marks would have backslashes before them.
    let Some(at) = memmem::rfind(body.as_bytes(), ID.as_bytes()) else {
        return Some((whole, None));
    };
    let id = body.get(at + ID.len()..)?;
    if leaves_an_object(id) {
        return Some((whole, None));
    }
    let id = Some(id).filter(|id| *id != "null");
    Some((whole.start..whole.start + at, id))
}

/// Whether a text ends an object or list that it did not begin.
fn leaves_an_object(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => super::skip_string(&mut bytes),
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return true,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    false
}
