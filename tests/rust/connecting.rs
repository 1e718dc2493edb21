//! Monitors that cannot be reached, or not now.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use ganeti_hv_kvm::qmp::{Connection, Deadline, ErrorKind, PeerState, Wait};
use support::{AMPLE, Button, GREETING, Monitor, SHORT, execute, within};

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
    let ours = i32::try_from(std::process::id()).unwrap();
    assert_eq!(*peer, PeerState::HeldByAnother(Some(ours)));
    assert!(error.to_string().contains(&format!(
        "another client holds this monitor: process {ours}"
    )));
    holder.close();
}

/// A client without ids may have gone before an error that was for it came.
#[test]
fn an_error_that_an_earlier_client_left_refuses_nothing() {
    const LEFT: &str = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"left\"}}\r\n";
    let monitor = Monitor::run(|peer| {
        peer.say(GREETING);
        peer.say(LEFT);
        peer.answer("{}");
        peer.answer(r#"[{"name": "stop"}]"#);
        peer.answer("1");
        peer.stay();
    });
    for discover in [true, false] {
        let connection = monitor.connection();
        connection.connect(discover, &within(AMPLE)).unwrap();
        let command = if discover { "stop" } else { "query-commands" };
        assert!(execute(&connection, command, AMPLE).is_ok());
    }

    let monitor = Monitor::run(|peer| {
        peer.say(GREETING);
        peer.hear();
        peer.say(LEFT);
        peer.stay();
    });
    let error = monitor
        .connection()
        .connect(true, &within(SHORT))
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Handshake { .. }), "{error}");
    assert!(
        error.to_string().contains("without an id") && error.to_string().contains("\"left\""),
        "{error}"
    );
}

/// Fault: what refused the end of negotiation took the place of a Ctrl-C meanwhile.
#[test]
fn an_interrupt_stays_one_whatever_else_is_wrong() {
    let left = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"left\"}}\r\n";
    for greeting in [GREETING, ""] {
        let monitor = Monitor::run(move |peer| {
            peer.say(greeting);
            peer.say(left);
            peer.stay();
        });
        let button = Button::default();
        let wait = Wait::new(Deadline::after(Duration::from_millis(AMPLE)), &button);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(SHORT));
                button.0.store(true, Ordering::Release);
            });
            let error = monitor.connection().connect(true, &wait).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Interrupted);
        });
    }
}
