//! What goes out: commands, ours and those that the caller wrote.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BadMessage, check_depth, explain};

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
}

/// Looks what a message that goes out is.
///
/// # Errors
/// [`BadMessage`] if it is no JSON object in a single line.
pub fn inspect(text: &str) -> Result<Foreign, BadMessage> {
    #[derive(Deserialize)]
    struct Outgoing<'a> {
        #[serde(default, alias = "exec-oob")]
        execute: Option<String>,
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
    }
    check_depth(text)?;
    if !text.starts_with('{') || text.contains(['\n', '\r']) {
        return Err(BadMessage(
            "a message that is no single JSON object".to_owned(),
        ));
    }
    let outgoing: Outgoing<'_> =
        serde_json::from_str(text).map_err(|error| explain(&error, "a message"))?;
    Ok(Foreign {
        command: outgoing.execute,
        id: outgoing.id.map(|id| id.get().to_owned()),
    })
}

/// Puts an id, which is JSON text, into a message that has none.
#[must_use]
pub fn with_id(text: &str, id: &str) -> String {
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
