//! One function for each target: it panics where something is wrong.

use ganeti_hv_kvm::process::{parse_command_line, parse_stat};
use ganeti_hv_kvm::qmp::codec::{Codec, CodecError};
use ganeti_hv_kvm::qmp::message::{Kind, Message};
use ganeti_hv_kvm::qmp::{command, foreign_text, outgoing};
use ganeti_hv_kvm::sockets::Table;
use serde_json::Value;

use super::model::Model;

/// However a stream is cut, the same lines come out, and each byte is looked at a few times.
pub fn codec(data: &[u8]) {
    let [limit, step, stream @ ..] = data else {
        return;
    };
    let (limit, step) = (usize::from(*limit) * 8, usize::from(*step) + 1);
    let mut codec = Codec::new(limit);
    let mut came = Vec::new();
    let mut result = Ok(());
    for chunk in stream.chunks(step) {
        codec.feed(chunk);
        result = take(&mut codec, &mut came);
        if result.is_err() {
            break;
        }
    }
    assert_eq!((came, result), whole_lines(stream, limit));
    assert!(
        codec.work() <= 8 * stream.len() as u64 + 64,
        "{}",
        codec.work()
    );
}

fn take(codec: &mut Codec, came: &mut Vec<String>) -> Result<(), CodecError> {
    while let Some(line) = codec.next_line()? {
        came.push(line);
    }
    Ok(())
}

/// The same in the plainest way.
fn whole_lines(stream: &[u8], limit: usize) -> (Vec<String>, Result<(), CodecError>) {
    let mut lines = Vec::new();
    let mut parts: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    let rest = parts.pop().unwrap_or_default();
    for part in parts {
        if part.len() > limit {
            return (lines, Err(CodecError::TooLong(limit)));
        }
        match std::str::from_utf8(part) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => lines.push(text.trim().to_owned()),
            Err(error) => return (lines, Err(CodecError::NotUtf8(error.valid_up_to()))),
        }
    }
    if rest.len() > limit {
        return (lines, Err(CodecError::TooLong(limit)));
    }
    (lines, Ok(()))
}

/// What is found of a message is what JSON says; what is let out is what QEMU can read.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let shown = foreign_text::printable(text);
    assert!(!shown.chars().any(char::is_control) && shown.len() < 20_000);
    if outgoing::check(text).is_ok() {
        assert!(outgoing::count(text, outgoing::MAX_DEPTH).is_some());
    }
    if let Ok(foreign) = command::inspect(text) {
        let line = command::with_id(text, foreign.null_id, "\"Ab12\"");
        if let (None, Ok(value)) = (foreign.id, serde_json::from_str::<Value>(&line)) {
            assert_eq!(value["id"], "Ab12", "{line}");
        }
    }
    let Ok(message) = Message::parse(text.to_owned()) else {
        return;
    };
    // Too deep for this reader is no matter of the message's.
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let payload = message
        .payload()
        .map(|text| serde_json::from_str(text).ok());
    match &message.kind {
        Kind::Reply { id, .. } => {
            let id = id.as_deref().map(|id| serde_json::from_str(id).ok());
            assert_eq!(id.unwrap_or_default().unwrap_or(Value::Null), value["id"]);
            match message.refusal() {
                Some((_, desc)) => assert_eq!(desc, value["error"]["desc"].as_str().unwrap_or("")),
                None => assert_eq!(payload, Some(Some(value["return"].clone()))),
            }
        }
        Kind::Event(event) => {
            assert_eq!(value["event"], event.name.as_str());
            assert_eq!(payload.flatten().unwrap_or(Value::Null), value["data"]);
        }
        Kind::Greeting(_) => assert!(value["QMP"].is_object()),
        Kind::Other => assert_eq!(payload, None),
    }
}

/// No reply ever reaches another command, and none is lost: see [`Model`].
pub fn session(data: &[u8]) {
    let mut model = Model::new(data);
    while model.step() {}
    model.finish();
}

/// What a process writes about itself is read without harm, and changes nothing that the kernel
/// says beside it.
pub fn process(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = parse_stat(&text);
    let fields = "S 1 7 7 0 -1 4194564 1 0 0 0 1 2 0 0 20 0 3 0 4711 5 6";
    let stat = parse_stat(&format!("7 ({text}) {fields}")).unwrap();
    assert_eq!((stat.state, stat.threads, stat.start_time), ('S', 3, 4711));
    assert!(stat.exiting);

    let values = parse_command_line(&text);
    assert!(values.memory.is_none_or(|mib| mib <= 1 << 30));
    assert!(
        values
            .vcpus
            .is_none_or(|count| (1..=65_536).contains(&count))
    );
    // the last word wins, whatever came before it
    let appended = parse_command_line(&format!("{text}\0\0-m\0size=192M\0-name\0guest=web1"));
    assert_eq!(appended.memory, Some(192));
    assert_eq!(appended.name.as_deref(), Some("web1"));

    if let Ok(table) = Table::parse(data) {
        assert!(table.all_clients().len() <= data.len() / 16);
    }
}
