//! Single messages: recordings of a real QEMU, and what a broken peer may send.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::PathBuf;

use ganeti_hv_kvm::qmp::message::{Body, Kind, Message};
use proptest::prelude::*;

fn recording(name: &str) -> Vec<Message> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/qmp/7.2");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines()
        .map(|line| Message::parse(line.trim().to_owned()).unwrap())
        .collect()
}

#[test]
fn the_greeting_of_a_real_qemu() {
    let Kind::Greeting(greeting) = &recording("greeting.json")[0].kind else {
        panic!("no greeting");
    };
    assert_eq!((greeting.version.0, greeting.version.1), (7, 2));
    assert!(greeting.package.starts_with("Debian"));
}

#[test]
fn replies_of_a_real_qemu() {
    let status = &recording("query-status-none.json")[0];
    assert!(matches!(&status.kind, Kind::Reply { id: Some(id), .. } if id == "\"query-status\""));
    assert_eq!(
        status.payload(),
        Some(r#"{"status": "running", "singlestep": false, "running": true}"#)
    );
    let balloon = &recording("query-balloon.json")[0];
    assert_eq!(balloon.payload(), Some(r#"{"actual": 67108864}"#));
    let cpus = recording("query-cpus-fast.json")[0]
        .payload()
        .unwrap()
        .to_owned();
    assert!(cpus.starts_with("[{") && cpus.ends_with("}]"));
    assert!(recording("query-commands.json")[0].payload().is_some());
}

#[test]
fn errors_of_a_real_qemu() {
    let Kind::Reply { id, body } = &recording("error-unknown-command.json")[0].kind else {
        panic!("no reply");
    };
    assert_eq!(id.as_deref(), Some("\"no-such-command\""));
    let Body::Error { class, desc } = body else {
        panic!("no error");
    };
    assert_eq!(class, "CommandNotFound");
    assert!(desc.contains("no-such-command"));
    assert!(matches!(
        &recording("error-unreadable.json")[0].kind,
        Kind::Reply {
            id: None,
            body: Body::Error { .. }
        }
    ));
}

#[test]
fn events_of_a_real_qemu() {
    let came = recording("stop-with-event.jsonl");
    let Kind::Event(stop) = &came[0].kind else {
        panic!("no event");
    };
    assert_eq!(stop.name, "STOP");
    assert!(stop.seconds > 1_000_000_000 && stop.microseconds < 1_000_000);
    assert_eq!(came[0].payload(), None);

    let came = recording("device-deleted.jsonl");
    let deleted = came.iter().find_map(|message| match &message.kind {
        Kind::Event(event) => Some(event),
        _ => None,
    });
    let deleted = deleted.unwrap();
    assert_eq!(deleted.name, "DEVICE_DELETED");
    assert!(deleted.is_about("tablet0"));
    assert!(deleted.is_about("/machine/peripheral/tablet0"));
    assert!(!deleted.is_about("tablet1"));
}

/// Fault: another device's `DEVICE_DELETED`, or the virtio-backend child's, was taken for ours.
#[test]
fn the_child_of_a_device_is_not_the_device() {
    let text = r#"{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/nic0/virtio-backend"}, "timestamp": {"seconds": 1, "microseconds": 2}}"#;
    let Kind::Event(event) = Message::parse(text.to_owned()).unwrap().kind else {
        panic!("no event");
    };
    assert!(!event.is_about("nic0"));
    let text =
        r#"{"event": "DEVICE_UNPLUG_GUEST_ERROR", "data": {"path": "/machine/peripheral/nic0"}}"#;
    let Kind::Event(event) = Message::parse(text.to_owned()).unwrap().kind else {
        panic!("no event");
    };
    assert!(event.is_about("nic0"));
    assert_eq!(event.seconds, -1);
}

#[test]
fn a_null_that_was_returned_is_a_reply() {
    let message = Message::parse(r#"{"return": null, "id": null}"#.to_owned()).unwrap();
    assert!(matches!(message.kind, Kind::Reply { id: None, .. }));
    assert_eq!(message.payload(), Some("null"));
}

/// Fault: bad JSON, a list, deep nesting gave other errors than the declared ones.
#[test]
fn what_is_no_message_is_refused_and_never_repeated() {
    let very_deep = format!("{{\"return\": {}", "[".repeat(1_000_000));
    for text in [
        "[]",
        "3",
        "null",
        "{",
        "}",
        "{]",
        "QEMU hunter2 monitor",
        r#"{"return": hunter2}"#,
        r#"{"return": {}} {"return": {}}"#,
        r#"{"error": "hunter2"}"#,
        r#"{"event": {"hunter2": 1}}"#,
        r#"{"event": "A", "timestamp": "hunter2"}"#,
        r#"{"QMP": {}}"#,
        r#"{"QMP": {"version": {"qemu": {"major": "hunter2"}}}}"#,
        r#"{"return": {}, "return": {}}"#,
        &very_deep,
    ] {
        let error = Message::parse(text.to_owned()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    // How deep a value is, is for whoever reads it.
    let deep = format!(
        "{{\"return\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(Message::parse(deep).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = Message::parse(text);
    }

    #[test]
    fn nothing_like_json_makes_it_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(":"), Just(","), Just("\"return\""),
                Just("\"QMP\""), Just("\"event\""), Just("\"error\""), Just("\"id\""), Just("1e999"),
                Just("null"), Just("\"\\ud800\""), Just("\"timestamp\""), Just("\"data\""), Just("-"),
            ],
            0..30,
        ),
    ) {
        let _ = Message::parse(parts.concat());
    }
}
