//! A connection to a peer that does what peers should not.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ganeti_hv_kvm::qmp::{Call, Connection, Deadline, ErrorKind, PeerState, QmpError, Wait};
use support::{Button, GREETING, Monitor, Peer, execute, within};

/// Long for whatever should not take long at all.
const AMPLE: u64 = 20_000;
/// The limit of calls that are to run into it.
const SHORT: u64 = 300;

fn kind<T: std::fmt::Debug>(result: Result<T, QmpError>) -> ErrorKind {
    result.unwrap_err().kind
}

/// Greets, takes capabilities, then runs the script; the test's side is connected already.
fn connected(script: impl Fn(&mut Peer) + Send + 'static) -> (Monitor, Connection) {
    let monitor = Monitor::run(move |peer| {
        peer.shake_hands();
        script(peer);
    });
    let connection = monitor.connection();
    connection.connect(false, &within(AMPLE)).unwrap();
    (monitor, connection)
}

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
        let error = connection.connect(false, &within(AMPLE)).unwrap_err();
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
        b"{\"return\": {}}\r\n",
        b"{\"error\": {}}\r\n",
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
        .wait_for_event(&names, Some("ours"), &within(SHORT))
        .unwrap();
    assert_eq!(none, None);
    assert!(execute(&connection, "device_del", AMPLE).is_ok());
    let event = connection
        .wait_for_event(&names, Some("ours"), &within(AMPLE))
        .unwrap();
    assert!(event.unwrap().text().contains("ours"));
    let kept = connection.wait_for_event(&names, None, &within(0)).unwrap();
    assert!(kept.unwrap().text().contains("other"));
    assert_eq!(
        connection.wait_for_event(&names, None, &within(0)),
        Ok(None)
    );
    assert!(connection.is_connected());
}

#[test]
fn without_a_listener_there_is_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("missing", "no such socket"),
        ("file", "not a socket"),
        ("dead", "nobody listens"),
    ];
    std::fs::write(folder.path().join("file"), "").unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("dead")).unwrap());
    let _datagram = std::os::unix::net::UnixDatagram::bind(folder.path().join("datagram")).unwrap();
    for (name, why) in cases.into_iter().chain([("datagram", "another type")]) {
        let path = folder.path().join(name);
        let error = Connection::new(path.clone(), 100)
            .connect(false, &within(AMPLE))
            .unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Connect { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(why) && text.contains(path.to_str().unwrap()),
            "{text}"
        );
    }
    for path in ["/".repeat(4000), "a\0b".to_owned(), String::new()] {
        let error = Connection::new(path.into(), 100)
            .connect(false, &within(AMPLE))
            .unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Connect { .. }), "{error}");
    }
}

/// Fault: with the monitor's queue of clients full, connecting failed at once with EAGAIN.
#[test]
fn a_full_queue_of_clients_is_waited_for() {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let error = Connection::new(path.clone(), 1000)
        .connect(false, &within(SHORT))
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");

    let server = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let listener = std::os::unix::net::UnixListener::from(listener);
        drop(listener.accept().unwrap());
        let (stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut &stream, b"x\n").unwrap();
    });
    let error = Connection::new(path, 1000)
        .connect(false, &within(AMPLE))
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Handshake { .. }), "{error}");
    server.join().unwrap();
    drop(first);
}

#[test]
fn a_monitor_that_another_client_holds_is_named_so() {
    let monitor = Monitor::run(|peer| {
        peer.shake_hands();
        peer.stay();
    });
    let holder = monitor.connection();
    holder.connect(false, &within(AMPLE)).unwrap();
    let error = monitor
        .connection()
        .connect(false, &within(SHORT))
        .unwrap_err();
    let ErrorKind::TimedOut { peer, .. } = &error.kind else {
        panic!("{error}");
    };
    assert_eq!(*peer, PeerState::HeldByAnother);
    holder.close();
}

#[test]
fn an_interrupt_ends_a_wait_and_the_connection() {
    let (_monitor, connection) = connected(Peer::stay);
    let button = Button::default();
    let start = Instant::now();
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            button.0.store(true, Ordering::Release);
        });
        let wait = Wait::new(Deadline::after(Duration::from_millis(AMPLE)), &button);
        kind(connection.receive(&wait))
    });
    assert_eq!(error, ErrorKind::Interrupted);
    assert!(start.elapsed() < Duration::from_millis(AMPLE / 2));
    assert!(!connection.is_connected());
}

#[test]
fn closing_ends_the_call_of_another_thread() {
    let (_monitor, connection) = connected(Peer::stay);
    let start = Instant::now();
    thread::scope(|scope| {
        let call = scope.spawn(|| kind(execute(&connection, "stop", AMPLE)));
        thread::sleep(Duration::from_millis(100));
        connection.close();
        assert!(matches!(call.join().unwrap(), ErrorKind::Lost { .. }));
    });
    assert!(start.elapsed() < Duration::from_millis(AMPLE / 2));
    assert!(!connection.is_connected());
    connection.connect(false, &within(AMPLE)).unwrap();
    connection.close();
}

#[test]
fn threads_take_turns_and_each_gets_its_own_reply() {
    let (_monitor, connection) = connected(|peer| {
        while let Some(command) = peer.hear() {
            let id = &command["id"];
            peer.say(&format!(
                "{{\"return\": {}, \"id\": {id}}}\r\n",
                command["arguments"]
            ));
        }
    });
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (connection, done) = (&connection, &done);
            scope.spawn(move || {
                for round in 0..50 {
                    let arguments = format!("[{thread},{round}]");
                    let call = Call {
                        command: "echo",
                        arguments: Some(&arguments),
                        fds: &[],
                    };
                    let reply = connection.execute(call, &within(AMPLE)).unwrap();
                    assert_eq!(reply.payload(), Some(arguments.as_str()));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.load(Ordering::Relaxed), 200);
}

#[test]
fn who_waits_for_a_turn_too_long_breaks_nothing() {
    let (_monitor, connection) = connected(|peer| {
        let command = peer.hear().unwrap();
        thread::sleep(Duration::from_millis(3 * SHORT));
        peer.say(&format!("{{\"return\": 1, \"id\": {}}}\r\n", command["id"]));
        peer.answer("2");
        peer.stay();
    });
    thread::scope(|scope| {
        let first = scope.spawn(|| execute(&connection, "a", AMPLE));
        thread::sleep(Duration::from_millis(50));
        let second = kind(execute(&connection, "b", SHORT));
        assert!(matches!(second, ErrorKind::NoTurn { .. }), "{second:?}");
        assert_eq!(first.join().unwrap().unwrap().payload(), Some("1"));
    });
    assert_eq!(
        execute(&connection, "c", AMPLE).unwrap().payload(),
        Some("2")
    );
}

/// Calls back into its own connection, as a signal handler might.
struct Reentrant(Arc<Connection>, std::sync::Mutex<Option<ErrorKind>>);

impl ganeti_hv_kvm::qmp::Interrupt for Reentrant {
    fn check(&self) -> Result<(), ganeti_hv_kvm::qmp::Interrupted> {
        *self.1.lock().unwrap() = Some(kind(execute(&self.0, "again", AMPLE)));
        self.0.close();
        Ok(())
    }
}

#[test]
fn a_handler_within_a_call_gets_an_error_and_can_close() {
    let (_monitor, connection) = connected(Peer::stay);
    let connection = Arc::new(connection);
    let handler = Reentrant(Arc::clone(&connection), std::sync::Mutex::default());
    let wait = Wait::new(Deadline::after(Duration::from_millis(AMPLE)), &handler);
    let error = kind(connection.receive(&wait));
    assert!(matches!(error, ErrorKind::Lost { .. }), "{error:?}");
    let inner = handler.1.lock().unwrap().clone();
    assert!(matches!(inner, Some(ErrorKind::Usage { .. })), "{inner:?}");
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
