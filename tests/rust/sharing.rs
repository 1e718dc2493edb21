//! A connection that threads share, and what ends a wait.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ganeti_hv_kvm::qmp::{Call, Connection, Deadline, ErrorKind, Wait};
use support::{AMPLE, Button, Peer, SHORT, connected, execute, kind, within};

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
