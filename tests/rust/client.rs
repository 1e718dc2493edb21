//! A connection to a peer that does what peers should not.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ganeti_hv_kvm::qmp::{Call, Connection, ErrorKind, PeerState};
use support::{AMPLE, GREETING, Monitor, Peer, SHORT, connected, execute, kind, within};

#[test]
fn a_connection_knows_whom_it_speaks_with() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        let command = peer
            .answer(r#"[{"name": "stop"}, {"name": "cont"}]"#)
            .unwrap();
        assert_eq!(command["execute"], "query-commands");
        let command = peer.answer("[]").unwrap();
        assert_eq!(command["execute"], "stop");
        assert_eq!(command.get("arguments"), None);
        peer.stay();
    });
    let connection = monitor.connection();
    assert!(!connection.is_connected());
    assert_eq!(
        kind(execute(&connection, "stop", AMPLE)),
        ErrorKind::NotConnected
    );
    connection.connect(true, &within(AMPLE)).unwrap();
    connection.connect(true, &within(AMPLE)).unwrap();
    assert!(connection.is_connected());
    let info = connection.info();
    assert_eq!(info.version, Some((7, 2, 22)));
    assert_eq!(info.package.as_deref(), Some("pkg"));
    assert_eq!(
        info.peer_pid,
        Some(i32::try_from(std::process::id()).unwrap())
    );
    assert_eq!(info.commands.unwrap().len(), 2);
    assert!(matches!(
        kind(execute(&connection, "quit", AMPLE)),
        ErrorKind::NotSupported { .. }
    ));
    assert_eq!(
        execute(&connection, "stop", AMPLE).unwrap().payload(),
        Some("[]")
    );
    connection.close();
    assert!(!connection.is_connected());
}

#[test]
fn a_refusal_keeps_the_connection_and_hides_secrets() {
    let (_monitor, connection) = connected(|peer| {
        let command = peer.hear().unwrap();
        let error = r#"{"class": "GenericError", "desc": "hunter2 is too short"}"#;
        peer.say(&format!(
            "{{\"error\": {error}, \"id\": {}}}\r\n",
            command["id"]
        ));
        peer.answer("1");
        peer.stay();
    });
    let call = Call {
        command: "set_password",
        arguments: Some(r#"{"protocol": "vnc", "password": "hunter2"}"#),
        fds: &[],
    };
    let error = connection.execute(call, &within(AMPLE)).unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("is too short (GenericError)"),
        "{error}"
    );
    assert_eq!(
        execute(&connection, "stop", AMPLE).unwrap().payload(),
        Some("1")
    );
}

/// Fault: QEMU closing the socket at any point gave `TypeError` on None.
#[test]
fn a_peer_that_hangs_up_at_any_byte_is_lost() {
    let id = "\"Ab12341\"";
    let dialogue = format!("{GREETING}{{\"return\": {{}}, \"id\": {id}}}\r\n");
    for end in 0..=dialogue.len() {
        let said = dialogue[..end].to_owned();
        let monitor = Monitor::run(move |peer| {
            peer.say(&said);
        });
        let connection = monitor.connection();
        let connected = connection.connect(false, &within(AMPLE));
        assert_eq!(
            connected.is_ok(),
            end >= GREETING.len(),
            "after {end} bytes"
        );
        let error = connected
            .and_then(|()| execute(&connection, "stop", AMPLE).map(drop))
            .unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Lost { .. }),
            "after {end} bytes: {error}"
        );
        assert!(error.to_string().contains("/qmp"), "{error}");
        assert!(!connection.is_connected());
    }
}

#[test]
fn what_is_not_qmp_is_told_apart() {
    let deep = format!("{{\"return\": {}", "[".repeat(100_000));
    let handshake: [&[u8]; 6] = [
        b"QEMU 7.2.0 monitor - type 'help' for more information\r\n(qemu) ",
        b"[]\r\n",
        b"{\"QMP\": \"\xff\"}\r\n",
        b"{\"hello\": 1}\r\n",
        b"{\"return\": {}}\r\n{\"return\": {}}\r\n",
        b"{\"error\": {}}\r\n{\"error\": {}}\r\n",
    ];
    for said in handshake {
        let monitor = Monitor::run(move |peer| {
            peer.say_bytes(said);
            peer.stay();
        });
        let error = monitor
            .connection()
            .connect(false, &within(AMPLE))
            .unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Handshake { .. }), "{error}");
    }
    let protocol: [&[u8]; 5] = [
        b"[]\r\n",
        b"x\r\n",
        b"{\"return\": \"\xff\"}\n",
        b"{\"hello\": 1}\n",
        deep.as_bytes(),
    ];
    for said in protocol {
        let said = said.to_owned();
        let (_monitor, connection) = connected(move |peer| {
            peer.hear();
            peer.say_bytes(&said);
            peer.say("\r\n");
            peer.stay();
        });
        let error = execute(&connection, "stop", AMPLE).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Protocol { .. }), "{error}");
        assert!(!connection.is_connected());
    }
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_all_there() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        peer.hear();
        let piece = "x".repeat(4096);
        peer.say("{\"return\": \"");
        while peer.say(&piece) {}
    });
    let connection = Connection::new(monitor.path(), 100_000);
    connection.connect(false, &within(AMPLE)).unwrap();
    let error = execute(&connection, "stop", AMPLE).unwrap_err();
    assert!(
        error.to_string().contains("more than 100000 bytes"),
        "{error}"
    );
}

/// Nobody waits for the end of negotiation: that it was refused shows with the first command.
#[test]
fn a_refused_negotiation_is_told_by_the_first_command() {
    let monitor = Monitor::run(|peer| {
        peer.say(GREETING);
        let error = r#"{"class": "GenericError", "desc": "not today"}"#;
        let id = peer.hear().unwrap()["id"].clone();
        peer.say(&format!("{{\"error\": {error}, \"id\": {id}}}\r\n"));
        let id = peer.hear().unwrap()["id"].clone();
        let error = r#"{"class": "CommandNotFound", "desc": "Expecting capabilities"}"#;
        peer.say(&format!("{{\"error\": {error}, \"id\": {id}}}\r\n"));
        peer.stay();
    });
    let connection = monitor.connection();
    connection.connect(false, &within(AMPLE)).unwrap();
    let error = execute(&connection, "stop", AMPLE).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Handshake { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("refused qmp_capabilities: not today"),
        "{error}"
    );
    assert!(!connection.is_connected());
}

/// Fault: the time-out was one of each recv, so a byte or an event now and then held a call for
/// ever.
#[test]
fn no_trickle_moves_the_deadline() {
    let event = "{\"event\": \"E\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}}\r\n";
    let pieces: [(&str, u64); 4] = [(" ", 20), (event, 20), (event, 0), ("\r\n", 0)];
    for (piece, pause) in pieces {
        let trickle = move |peer: &mut Peer| {
            while peer.say(piece) {
                thread::sleep(Duration::from_millis(pause));
            }
        };
        let (_monitor, connection) = connected(trickle);
        let start = Instant::now();
        let error = execute(&connection, "stop", SHORT).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_millis(SHORT + AMPLE / 2));

        let monitor = Monitor::run(trickle);
        let start = Instant::now();
        let error = monitor
            .connection()
            .connect(false, &within(SHORT))
            .unwrap_err();
        assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_millis(SHORT + AMPLE / 2));
    }
}

/// Fault: a reply that came after a time-out was taken for the next command's.
#[test]
fn after_a_timeout_the_connection_must_be_made_anew() {
    let round = AtomicUsize::new(0);
    let monitor = Monitor::run(move |peer| {
        peer.shake_hands();
        if round.fetch_add(1, Ordering::Relaxed) == 0 {
            peer.say("{\"event\": \"HALF");
            peer.hear();
        } else {
            peer.say("{\"return\": \"late\", \"id\": \"Ab12342\"}\r\n");
            peer.answer("\"own\"");
        }
        peer.stay();
    });
    let connection = monitor.connection();
    connection.connect(false, &within(AMPLE)).unwrap();
    let error = execute(&connection, "stop", SHORT).unwrap_err();
    let ErrorKind::TimedOut { peer, limit, .. } = &error.kind else {
        panic!("{error}");
    };
    assert_eq!(*limit, Duration::from_millis(SHORT));
    assert!(matches!(peer, PeerState::Silent(_)), "{peer:?}");
    assert_eq!(
        kind(execute(&connection, "stop", AMPLE)),
        ErrorKind::NotConnected
    );
    connection.connect(false, &within(AMPLE)).unwrap();
    assert_eq!(
        execute(&connection, "stop", AMPLE).unwrap().payload(),
        Some("\"own\"")
    );
}

#[test]
fn an_event_wait_that_times_out_leaves_the_connection_usable() {
    let (_monitor, connection) = connected(|peer| {
        peer.say("{\"event\": \"A\", \"data\": {\"device\": \"other\"}}\r\n");
        peer.answer("1");
        peer.say("{\"event\": \"A\", \"data\": {\"device\": \"ours\"}}\r\n");
        peer.stay();
    });
    let names = ["A".to_owned()];
    let none = connection
        .wait_for_event(Some(&names), Some("ours"), &within(SHORT))
        .unwrap();
    assert_eq!(none, None);
    assert!(execute(&connection, "device_del", AMPLE).is_ok());
    let event = connection
        .wait_for_event(Some(&names), Some("ours"), &within(AMPLE))
        .unwrap();
    assert!(event.unwrap().text().contains("ours"));
    let kept = connection
        .wait_for_event(Some(&names), None, &within(0))
        .unwrap();
    assert!(kept.unwrap().text().contains("other"));
    assert_eq!(
        connection.wait_for_event(Some(&names), None, &within(0)),
        Ok(None)
    );
    assert!(connection.is_connected());
}

/// QEMU takes no commands while its replies find no room: who only writes would wait for ever.
#[test]
fn a_large_command_and_a_flood_of_events_pass_each_other() {
    let (_monitor, connection) = connected(|peer| {
        let event = format!(
            "{{\"event\": \"E\", \"data\": {{\"x\": \"{}\"}}}}\r\n",
            "x".repeat(1000)
        );
        for _ in 0..2000 {
            peer.say(&event);
        }
        peer.answer("1");
        peer.stay();
    });
    let arguments = format!("{{\"x\": \"{}\"}}", "x".repeat(4 << 20));
    let call = Call {
        command: "large",
        arguments: Some(&arguments),
        fds: &[],
    };
    assert_eq!(
        connection.execute(call, &within(AMPLE)).unwrap().payload(),
        Some("1")
    );
    assert_eq!(connection.info().lost_events, 2000 - 1024);
}

#[test]
fn descriptors_that_cannot_be_passed_leave_the_connection_usable() {
    let (_monitor, connection) = connected(|peer| {
        peer.answer("1");
        peer.stay();
    });
    let too_many = vec![0; 300];
    for fds in [&[12_345][..], &[-1][..], &too_many] {
        let call = Call {
            command: "getfd",
            arguments: None,
            fds,
        };
        let error = kind(connection.execute(call, &within(AMPLE)));
        assert!(matches!(error, ErrorKind::Usage { .. }), "{error:?}");
    }
    assert_eq!(
        execute(&connection, "stop", AMPLE).unwrap().payload(),
        Some("1")
    );
}

#[test]
fn connections_leave_no_descriptor() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        peer.stay();
    });
    let pointing_there = || {
        let inodes = std::fs::read_to_string("/proc/net/unix").unwrap();
        inodes
            .lines()
            .filter(|line| line.ends_with(monitor.path().to_str().unwrap()))
            .count()
    };
    for _ in 0..50 {
        let connection = monitor.connection();
        connection.connect(false, &within(AMPLE)).unwrap();
    }
    let start = Instant::now();
    // The peer's side goes when its script has seen the end; only the listener stays.
    while pointing_there() > 1 && start.elapsed() < Duration::from_millis(AMPLE) {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(pointing_there(), 1);
}

/// Fault: what QEMU's main loop says to a client that has gone may come before the next one's greeting.
#[test]
fn one_late_reply_may_come_before_the_greeting() {
    let monitor = Monitor::run(|peer| {
        peer.say("{\"return\": {}}\r\n");
        peer.shake_hands();
        peer.answer("1");
        peer.stay();
    });
    let connection = monitor.connection();
    connection.connect(false, &within(AMPLE)).unwrap();
    let reply = execute(&connection, "stop", AMPLE).unwrap();
    assert_eq!(reply.payload(), Some("1"));
    connection.close();

    let monitor = Monitor::run(|peer| {
        peer.say("{\"return\": {}}\r\n");
        peer.stay();
    });
    let connection = monitor.connection();
    let error = connection.connect(false, &within(SHORT)).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Handshake { .. }), "{error}");
}

/// QEMU says several errors without an id about a command that it cannot parse.
#[test]
fn an_error_without_an_id_ends_the_connection_and_is_named() {
    let (_monitor, connection) = connected(|peer| {
        peer.answer("1");
        peer.hear();
        peer.say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON\\ntoo large\"}}\r\n");
        peer.stay();
    });
    assert!(execute(&connection, "stop", AMPLE).is_ok());
    let error = execute(&connection, "stop", AMPLE).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Protocol { .. }), "{error}");
    assert!(
        error.to_string().contains(r#""JSON\ntoo large""#),
        "{error}"
    );
    assert!(!connection.is_connected());
}

#[test]
fn nothing_that_came_keeps_the_connection() {
    let (_monitor, connection) = connected(|peer| {
        peer.say("{\"event\": \"HALF");
        peer.answer("1");
        peer.stay();
    });
    let error = kind(connection.receive(&within(SHORT)));
    assert!(matches!(error, ErrorKind::NothingCame { .. }), "{error:?}");
    connection.close();
}

/// A refusal's words are data: they forge no line of a log.
#[test]
fn what_qemu_says_is_escaped_and_cut() {
    let (_monitor, connection) = connected(|peer| {
        let id = peer.hear().unwrap()["id"].clone();
        let long = "x".repeat(1 << 20);
        peer.say(&format!(
            "{{\"error\": {{\"class\": \"C\\u001b\", \"desc\": \"a\\nroot: b{long}\"}}, \"id\": {id}}}\r\n"
        ));
        peer.stay();
    });
    let error = execute(&connection, "stop", AMPLE).unwrap_err().to_string();
    assert!(
        error.contains(r"a\nroot: b") && !error.contains(['\n', '\u{1b}']),
        "{error}"
    );
    assert!(error.len() < 2000, "{}", error.len());
}
