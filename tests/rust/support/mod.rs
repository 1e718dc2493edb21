//! A scriptable peer on a real socket.
#![allow(dead_code)] // each test program uses its own part

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ganeti_hv_kvm::qmp::codec::DEFAULT_LIMIT;
use ganeti_hv_kvm::qmp::fleet::Guest;
use ganeti_hv_kvm::qmp::message::Message;
use ganeti_hv_kvm::qmp::{
    Call, Connection, Deadline, ErrorKind, Interrupt, Interrupted, Never, QmpError, Wait,
};
use tempfile::TempDir;

pub(crate) const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \" pkg \"}, \"capabilities\": [\"oob\"]}}\r\n";

/// Long for whatever should not take long at all.
pub(crate) const AMPLE: u64 = 20_000;
/// The limit of calls that are to run into it.
pub(crate) const SHORT: u64 = 300;

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, QmpError>) -> ErrorKind {
    result.unwrap_err().kind
}

/// Greets, takes capabilities, then runs the script; the test's side is connected already.
pub(crate) fn connected(script: impl Fn(&mut Peer) + Send + 'static) -> (Monitor, Connection) {
    let monitor = Monitor::run(move |peer| {
        peer.shake_hands();
        script(peer);
    });
    let connection = monitor.connection();
    connection.connect(false, &within(AMPLE)).unwrap();
    (monitor, connection)
}

/// The peer's end of a connection: sends what it is told, reads a line at a time.
pub(crate) struct Peer {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    /// Sends; that the other side has gone is no failure of the script.
    pub(crate) fn say(&mut self, text: &str) -> bool {
        self.say_bytes(text.as_bytes())
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next command; None when the other side has gone.
    pub(crate) fn hear(&mut self) -> Option<serde_json::Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(count) if count > 0 => Some(serde_json::from_str(&line).unwrap()),
            _ => None,
        }
    }

    /// What has come and was not heard yet.
    pub(crate) fn pending(&mut self) -> String {
        self.stream.set_nonblocking(true).unwrap();
        let _ = self.lines.fill_buf();
        self.stream.set_nonblocking(false).unwrap();
        String::from_utf8(self.lines.buffer().to_vec()).unwrap()
    }

    /// Hears a command and answers it with this value, echoing its id.
    pub(crate) fn answer(&mut self, value: &str) -> Option<serde_json::Value> {
        let command = self.hear()?;
        self.say(&format!(
            "{{\"return\": {value}, \"id\": {}}}\r\n",
            command["id"]
        ));
        Some(command)
    }

    pub(crate) fn shake_hands(&mut self) {
        self.say(GREETING);
        let command = self.answer("{}");
        assert!(command.is_none_or(|command| command["execute"] == "qmp_capabilities"));
    }

    /// Keeps the connection open until the other side goes.
    pub(crate) fn stay(&mut self) {
        while self.hear().is_some() {}
    }
}

/// A monitor whose connections are served by a script, one after the other.
pub(crate) struct Monitor {
    folder: TempDir,
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(crate) fn run(mut script: impl FnMut(&mut Peer) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                script(&mut Peer::new(stream));
            }
        });
        Self {
            folder,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("qmp")
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new(self.path(), DEFAULT_LIMIT)
    }
}

/// The monitors as a fleet's guests, of processes that nobody knows.
pub(crate) fn guests<'a>(monitors: impl IntoIterator<Item = &'a Monitor>) -> Vec<Guest> {
    let guest = |monitor: &Monitor| Guest {
        path: monitor.path(),
        pid: None,
    };
    monitors.into_iter().map(guest).collect()
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = UnixStream::connect(self.path());
        let result = self.thread.take().unwrap().join();
        if !thread::panicking() {
            result.unwrap();
        }
    }
}

/// Ends a wait as soon as it is told to.
#[derive(Default)]
pub(crate) struct Button(pub(crate) AtomicBool);

impl Interrupt for Button {
    fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Acquire) {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }
}

pub(crate) fn within(millis: u64) -> Wait<'static> {
    Wait::new(Deadline::after(Duration::from_millis(millis)), &Never)
}

pub(crate) fn execute(
    connection: &Connection,
    command: &str,
    millis: u64,
) -> Result<Message, QmpError> {
    let call = Call {
        command,
        arguments: None,
        fds: &[],
    };
    connection.execute(call, &within(millis))
}
