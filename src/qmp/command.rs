//! What goes out: commands, ours and those that the caller wrote.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BadMessage, explain, place, present};
use super::outgoing;

/// Leaves QEMU's negotiation mode.
pub const CAPABILITIES: &str = "qmp_capabilities";

/// A command's line, ready to send; `id` is JSON text.
///
/// Not one byte more than needed: QEMU reads commands byte by byte, two microseconds each.
#[must_use]
pub fn line(command: &str, arguments: Option<&str>, id: Option<&str>) -> String {
    let mut line = format!("{{\"execute\":{}", quote(command));
    if let Some(arguments) = arguments {
        line.push_str(",\"arguments\":");
        line.push_str(arguments);
    }
    if let Some(id) = id {
        line.push_str(",\"id\":");
        line.push_str(id);
    }
    line.push_str("}\n");
    line
}

/// A command that somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name, if it has one.
    pub command: Option<String>,
    /// Its id as JSON text, if it has one.
    pub id: Option<String>,
    /// Where an id of `null`, which is none, lies in the text.
    pub null_id: Option<Range<usize>>,
}

/// Looks what a message that goes out is.
///
/// # Errors
/// [`BadMessage`] if it is no JSON object in a single line, or QEMU's parser would refuse it.
pub fn inspect(text: &str) -> Result<Foreign, BadMessage> {
    #[derive(Deserialize)]
    struct Outgoing<'a> {
        #[serde(default, alias = "exec-oob")]
        execute: Option<String>,
        #[serde(borrow, default, deserialize_with = "present")]
        id: Option<&'a RawValue>,
    }
    if !text.starts_with('{') || text.contains(['\n', '\r']) {
        return Err(BadMessage(
            "a message that is no single JSON object".to_owned(),
        ));
    }
    outgoing::check(text)?;
    let outgoing: Outgoing<'_> =
        serde_json::from_str(text).map_err(|error| explain(&error, "a message"))?;
    let (null_ids, ids): (Vec<_>, Vec<_>) =
        outgoing.id.into_iter().partition(|id| id.get() == "null");
    Ok(Foreign {
        command: outgoing.execute,
        id: ids.first().map(|id| id.get().to_owned()),
        null_id: null_ids.first().map(|id| place(id, text)),
    })
}

/// Puts an id, which is JSON text, into a message that has none, or `null` in this place.
#[must_use]
pub fn with_id(text: &str, null_id: Option<Range<usize>>, id: &str) -> String {
    if let Some(place) = null_id {
        let mut line = format!("{text}\n");
        line.replace_range(place, id);
        return line;
    }
    let body = text
        .rfind('}')
        .and_then(|end| text.get(..end))
        .unwrap_or(text);
    let comma = if body.trim() == "{" { "" } else { "," };
    format!("{body}{comma}\"id\":{id}}}\n")
}

/// A text as a JSON string.
#[must_use]
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
