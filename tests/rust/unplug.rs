//! Taking devices out of a guest, as a scripted QEMU lets it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use ganeti_hv_kvm::qmp::ErrorKind;
use ganeti_hv_kvm::qmp::unplug::{Closing, Release};
use support::{AMPLE, Peer, SHORT, connected, execute, kind, within};

const HAS_IT: &str =
    r#"[{"name": "type", "type": "string"}, {"name": "disk0", "type": "child<virtio-blk-pci>"}]"#;
const PATIENCE: Duration = Duration::from_millis(SHORT);
const LONG: Duration = Duration::from_millis(AMPLE);

/// Answers the next command, which must be this one.
fn expect(peer: &mut Peer, command: &str, value: &str) {
    let heard = peer.answer(value).unwrap();
    assert_eq!(heard["execute"], command, "{heard}");
}

fn refuse(peer: &mut Peer, command: &str, class: &str, desc: &str) {
    let heard = peer.hear().unwrap();
    assert_eq!(heard["execute"], command, "{heard}");
    let id = &heard["id"];
    peer.say(&format!(
        "{{\"error\": {{\"class\": \"{class}\", \"desc\": \"{desc}\"}}, \"id\": {id}}}\r\n"
    ));
}

fn event(peer: &mut Peer, name: &str, device: &str) {
    let data = format!("{{\"device\": \"{device}\", \"path\": \"/machine/peripheral/{device}\"}}");
    peer.say(&format!(
        "{{\"event\": \"{name}\", \"data\": {data}, \"timestamp\": {{\"seconds\": 1, \"microseconds\": 1}}}}\r\n"
    ));
}

fn release(patience: Duration, script: impl Fn(&mut Peer) + Send + 'static) -> Release {
    let (_monitor, connection) = connected(move |peer| {
        script(peer);
        peer.stay();
    });
    connection
        .release_device("disk0", patience, &within(AMPLE))
        .unwrap()
}

fn close(patience: Duration, script: impl Fn(&mut Peer) + Send + 'static) -> Closing {
    let (_monitor, connection) = connected(move |peer| {
        script(peer);
        peer.stay();
    });
    connection
        .close_storage("disk0", patience, &within(AMPLE))
        .unwrap()
}

#[test]
fn no_device_is_a_released_one() {
    let outcome = release(LONG, |peer| expect(peer, "qom-list", "[]"));
    assert_eq!(outcome, Release::Released);
    let outcome = release(LONG, |peer| {
        expect(peer, "qom-list", HAS_IT);
        refuse(
            peer,
            "device_del",
            "DeviceNotFound",
            "Device 'disk0' not found",
        );
    });
    assert_eq!(outcome, Release::Released);
}

#[test]
fn the_event_counts_before_and_after_the_reply_and_for_its_own_device_alone() {
    let outcome = release(LONG, |peer| {
        expect(peer, "qom-list", HAS_IT);
        event(peer, "DEVICE_DELETED", "disk0");
        expect(peer, "device_del", "{}");
    });
    assert_eq!(outcome, Release::Released);
    let outcome = release(LONG, |peer| {
        expect(peer, "qom-list", HAS_IT);
        expect(peer, "device_del", "{}");
        event(peer, "DEVICE_DELETED", "disk1");
        event(peer, "DEVICE_DELETED", "disk0/virtio-backend");
        event(peer, "DEVICE_UNPLUG_GUEST_ERROR", "disk0");
    });
    assert_eq!(outcome, Release::RefusedByGuest);
}

#[test]
fn what_an_earlier_request_came_to_is_not_the_answer_to_this_one() {
    let (_monitor, connection) = connected(|peer| {
        event(peer, "DEVICE_UNPLUG_GUEST_ERROR", "disk0");
        expect(peer, "query-status", "{}");
        expect(peer, "qom-list", HAS_IT);
        expect(peer, "device_del", "{}");
        event(peer, "DEVICE_DELETED", "disk0");
        peer.stay();
    });
    execute(&connection, "query-status", AMPLE).unwrap();
    let outcome = connection.release_device("disk0", LONG, &within(AMPLE));
    assert_eq!(outcome, Ok(Release::Released));
}

#[test]
fn a_request_that_is_under_way_is_waited_for() {
    let outcome = release(LONG, |peer| {
        expect(peer, "qom-list", HAS_IT);
        let desc = "Device disk0 is already in the process of unplug";
        refuse(peer, "device_del", "GenericError", desc);
        event(peer, "DEVICE_DELETED", "disk0");
    });
    assert_eq!(outcome, Release::Released);
}

#[test]
fn a_silent_guest_keeps_its_device_unless_only_the_event_was_lost() {
    let outcome = release(PATIENCE, |peer| {
        expect(peer, "qom-list", HAS_IT);
        expect(peer, "device_del", "{}");
        expect(peer, "qom-list", HAS_IT);
    });
    assert_eq!(outcome, Release::Silent);
    let outcome = release(PATIENCE, |peer| {
        expect(peer, "qom-list", HAS_IT);
        expect(peer, "device_del", "{}");
        expect(peer, "qom-list", "[]");
    });
    assert_eq!(outcome, Release::Released);
}

#[test]
fn what_qemu_will_not_ask_is_told_in_its_words() {
    let outcome = release(LONG, |peer| {
        expect(peer, "qom-list", HAS_IT);
        refuse(
            peer,
            "device_del",
            "GenericError",
            "Bus 'pci.0' does not support hotplugging",
        );
    });
    let why = "Bus 'pci.0' does not support hotplugging".to_owned();
    assert_eq!(outcome, Release::NotAsked(why));
}

#[test]
fn nonsense_is_neither_yes_nor_no() {
    for value in ["{}", "[{}]", "7", r#"[{"name": 1, "type": "string"}]"#] {
        let (_monitor, connection) = connected(move |peer| {
            peer.answer(value);
            peer.stay();
        });
        let outcome = connection.release_device("disk0", LONG, &within(AMPLE));
        assert!(
            matches!(kind(outcome), ErrorKind::Protocol { .. }),
            "{value}"
        );
    }
}

#[test]
fn storage_is_closed_once_nothing_uses_it() {
    let outcome = close(LONG, |peer| {
        expect(peer, "qom-list", "[]");
        expect(peer, "query-block", "[]");
        expect(
            peer,
            "query-named-block-nodes",
            r#"[{"node-name": "disk0"}]"#,
        );
        refuse(peer, "blockdev-del", "GenericError", "Node disk0 is in use");
        expect(peer, "query-block", "[]");
        expect(
            peer,
            "query-named-block-nodes",
            r#"[{"node-name": "disk0"}]"#,
        );
        expect(peer, "blockdev-del", "{}");
        let sets = r#"[{"fdset-id": 4, "fds": [{"fd": 9, "opaque": "disk0"}]}, {"fdset-id": 5, "fds": []}]"#;
        expect(peer, "query-fdsets", sets);
        let heard = peer.answer("{}").unwrap();
        assert_eq!(heard["execute"], "remove-fd");
        assert_eq!(heard["arguments"]["fdset-id"], 4);
    });
    assert_eq!(outcome, Closing::Closed);
    let outcome = close(LONG, |peer| {
        expect(peer, "qom-list", "[]");
        let used = r#"[{"device": "disk0", "qdev": "/machine/peripheral/disk0"}]"#;
        expect(peer, "query-block", used);
        expect(peer, "query-block", r#"[{"device": "disk0"}]"#);
        let heard = peer.answer(r#""""#).unwrap();
        assert_eq!(heard["arguments"]["command-line"], "drive_del disk0");
        expect(peer, "query-fdsets", "[]");
    });
    assert_eq!(outcome, Closing::Closed);
}

#[test]
fn storage_in_use_is_left_alone() {
    let outcome = close(LONG, |peer| expect(peer, "qom-list", HAS_IT));
    assert_eq!(outcome, Closing::InUse);
    let outcome = close(PATIENCE, |peer| {
        expect(peer, "qom-list", "[]");
        loop {
            let Some(heard) = peer.hear() else { return };
            let id = &heard["id"];
            let answer = match heard["execute"].as_str() {
                Some("query-block") => "\"return\": []",
                Some("query-named-block-nodes") => "\"return\": [{\"node-name\": \"disk0\"}]",
                _ => "\"error\": {\"class\": \"GenericError\", \"desc\": \"Node disk0 is busy\"}",
            };
            peer.say(&format!("{{{answer}, \"id\": {id}}}\r\n"));
        }
    });
    assert_eq!(outcome, Closing::Held("Node disk0 is busy".to_owned()));
}
