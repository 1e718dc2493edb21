//! A connection that several threads may use: one call at a time, each waiting for its turn.
//!
//! The client is taken out of the slot for the length of a call, so that no lock is held while
//! anybody waits, for the monitor or for whatever the interrupt needs.

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use super::client::Client;
use super::error::{ErrorKind, QmpError, Result};
use super::message::Message;
use super::to_error::at;
use super::transport::{Ended, Wait};

/// What is known of the QEMU that was connected last.
#[derive(Debug, Clone, Default)]
pub struct Info {
    /// Its version: major, minor, micro.
    pub version: Option<(i64, i64, i64)>,
    /// Its distributor's package; often empty.
    pub package: Option<String>,
    /// The commands that it knows, if it was asked.
    pub commands: Option<Arc<HashSet<String>>>,
    /// The process that listens on the monitor.
    pub peer_pid: Option<i32>,
    /// How many events nobody took in time.
    pub lost_events: u64,
}

/// A call to send.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The command's name.
    pub command: &'a str,
    /// Its arguments as JSON text.
    pub arguments: Option<&'a str>,
    /// Descriptors that travel with it.
    pub fds: &'a [RawFd],
}

#[derive(Debug, Default)]
struct Slot {
    client: Option<Client>,
    /// The process that connected, if this one was forked of it and did not connect since.
    other_process: Option<u32>,
    /// Who uses the client at the moment.
    user: Option<ThreadId>,
    /// So many threads wait for their turn.
    waiting: usize,
    connected: bool,
    /// The socket, while connected.
    fd: Option<RawFd>,
    /// Set by `close()` for the call that runs now.
    closed: Arc<AtomicBool>,
    info: Info,
}

/// What one process has of a connection.
///
/// A fork copies all of it, a locked mutex too, whose thread the child does not have. So a child
/// has its own, and takes nothing over: the replies are for the process that connected.
#[derive(Debug)]
struct Share {
    pid: u32,
    slot: Mutex<Slot>,
    turn: Condvar,
    child: OnceLock<Box<Share>>,
}

impl Share {
    fn of_this_process() -> Self {
        Self {
            pid: std::process::id(),
            slot: Mutex::default(),
            turn: Condvar::new(),
            child: OnceLock::new(),
        }
    }

    /// That of a forked process. The parent's copy of the socket is closed here, so that it does
    /// not hold the monitor when the parent has left it.
    fn of_child(parent: &Self) -> Box<Self> {
        let child = Self::of_this_process();
        // Locked: it was in use in the moment of the fork. Nobody will unlock it in this process.
        if let Ok(mut inherited) = parent.slot.try_lock() {
            let mut slot = child.lock();
            let was_connected = inherited.connected || inherited.user.is_some();
            let pid = inherited.other_process.unwrap_or(parent.pid);
            slot.other_process =
                (was_connected || inherited.other_process.is_some()).then_some(pid);
            slot.info = inherited.info.clone();
            drop(inherited.client.take());
        } else {
            child.lock().other_process = Some(parent.pid);
        }
        Box::new(child)
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A monitor's path, and the connection to it while there is one.
#[derive(Debug)]
pub struct Connection {
    path: PathBuf,
    limit: usize,
    first_share: Share,
}

impl Connection {
    /// Knows where the monitor is, and takes messages of at most `limit` bytes from it.
    #[must_use]
    pub fn new(path: PathBuf, limit: usize) -> Self {
        Self {
            path,
            limit,
            first_share: Share::of_this_process(),
        }
    }

    /// The monitor's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The largest message that is taken, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What is known of the QEMU that was connected last.
    #[must_use]
    pub fn info(&self) -> Info {
        self.lock().info.clone()
    }

    /// Whether there is a connection. That it still works shows only in its use.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.lock().connected
    }

    /// The socket, to wait for until it can be read; it stays the connection's.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] or [`ErrorKind::OtherProcess`].
    pub fn fd(&self) -> Result<RawFd> {
        let slot = self.lock();
        let fd = slot.fd.filter(|_| slot.connected);
        fd.ok_or_else(|| self.not_connected(&slot))
    }

    fn not_connected(&self, slot: &Slot) -> QmpError {
        self.error(match slot.other_process {
            Some(pid) => ErrorKind::OtherProcess { pid },
            None => ErrorKind::NotConnected,
        })
    }

    /// Connects, unless connected; asks for the list of commands if `discover`.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; then there is no connection.
    pub fn connect(&self, discover: bool, wait: &Wait<'_>) -> Result<()> {
        self.take_turn(wait, |client, wait| {
            if client.is_some() {
                return Ok(());
            }
            self.lock().info = Info::default();
            // Ganeti's own stand-in for QEMU takes one thing after the other.
            let early = !discover;
            let mut fresh = Client::connect(&self.path, self.limit, early, wait)?;
            let commands = if discover {
                let names = fresh.query_commands(wait)?;
                Some(Arc::new(names.into_iter().collect()))
            } else {
                None
            };
            let mut slot = self.lock();
            let greeting = fresh.greeting();
            slot.info.version = Some(greeting.version);
            slot.info.package = Some(greeting.package.clone());
            slot.info.commands = commands;
            slot.info.peer_pid = fresh.peer_pid();
            slot.other_process = None;
            slot.fd = Some(fresh.fd());
            *client = Some(fresh);
            Ok(())
        })
    }

    /// Ends the connection; a call that runs in another thread ends with [`ErrorKind::Lost`].
    pub fn close(&self) {
        let share = self.share();
        let mut slot = share.lock();
        slot.closed.store(true, Ordering::Release);
        slot.connected = false;
        slot.other_process = None;
        let client = slot.client.take();
        drop(slot);
        drop(client);
        share.turn.notify_all();
    }

    /// Executes a command and gives its reply.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; [`ErrorKind::NotSupported`] if this QEMU is known not to have
    /// the command: it is not sent.
    pub fn execute(&self, call: Call<'_>, wait: &Wait<'_>) -> Result<Message> {
        self.run(wait, |client, wait| {
            let known = self.lock().info.commands.clone();
            if known.is_some_and(|known| !known.contains(call.command)) {
                return Err(self.error(ErrorKind::NotSupported {
                    command: call.command.to_owned(),
                }));
            }
            client.execute(call.command, call.arguments, call.fds, wait)
        })
    }

    /// Sends a message that the caller wrote; see [`Client::send`].
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits.
    pub fn send(&self, text: &str, fds: &[RawFd], wait: &Wait<'_>) -> Result<()> {
        self.run(wait, |client, wait| client.send(text, fds, wait))
    }

    /// The next message; see [`Client::receive`].
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits.
    pub fn receive(&self, wait: &Wait<'_>) -> Result<Message> {
        self.run(wait, Client::receive)
    }

    /// The reply to the oldest open command; see [`Client::response`].
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits.
    pub fn response(&self, command: &str, wait: &Wait<'_>) -> Result<Message> {
        self.run(wait, |client, wait| client.response(command, wait))
    }

    /// The oldest event that fits, or None in time; see [`Client::wait_for_event`].
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits.
    pub fn wait_for_event(
        &self,
        names: Option<&[String]>,
        device: Option<&str>,
        wait: &Wait<'_>,
    ) -> Result<Option<Message>> {
        self.run(wait, |client, wait| {
            client.wait_for_event(names, device, wait)
        })
    }

    pub(super) fn run<T>(
        &self,
        wait: &Wait<'_>,
        call: impl FnOnce(&mut Client, &Wait<'_>) -> Result<T>,
    ) -> Result<T> {
        self.take_turn(wait, |client, wait| match client {
            Some(client) => call(client, wait),
            None => Err(self.not_connected(&self.lock())),
        })
    }

    fn take_turn<T>(
        &self,
        wait: &Wait<'_>,
        call: impl FnOnce(&mut Option<Client>, &Wait<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut turn = self.wait_for_turn(wait)?;
        let closed = Arc::clone(&turn.closed);
        let result = call(&mut turn.client, &wait.until_closed(&closed));
        if let Err(error) = &result {
            turn.broken = !error.kind.keeps_connection();
        } else {
            turn.broken = false;
        }
        result
    }

    fn wait_for_turn(&self, wait: &Wait<'_>) -> Result<Turn<'_>> {
        let me = thread::current().id();
        let share = self.share();
        let mut slot = share.lock();
        loop {
            match slot.user {
                Some(user) if user == me => {
                    // A signal handler, or a finalizer, in the midst of this thread's own call.
                    return Err(self.error(ErrorKind::Usage {
                        why: "this thread's own call is still under way".to_owned(),
                    }));
                }
                Some(_) => {
                    let slice = wait.deadline.slice();
                    slot.waiting += 1;
                    let (mut guard, _) = share
                        .turn
                        .wait_timeout(slot, slice)
                        .unwrap_or_else(PoisonError::into_inner);
                    guard.waiting -= 1;
                    // The interrupt may need a lock of its own, which another thread may hold
                    // that waits for this one.
                    drop(guard);
                    wait.look().map_err(|ended| self.no_turn(ended, wait))?;
                    slot = share.lock();
                    continue;
                }
                None => {}
            }
            slot.user = Some(me);
            slot.closed = Arc::default();
            return Ok(Turn {
                share,
                client: slot.client.take(),
                closed: Arc::clone(&slot.closed),
                broken: true,
            });
        }
    }

    fn no_turn(&self, ended: Ended, wait: &Wait<'_>) -> QmpError {
        self.error(match ended {
            Ended::TimedOut => ErrorKind::NoTurn {
                limit: wait.deadline.limit(),
            },
            Ended::OtherProcess(pid) => ErrorKind::OtherProcess { pid },
            Ended::Interrupted | Ended::Closed | Ended::Failed(_) => ErrorKind::Interrupted,
        })
    }

    fn error(&self, kind: ErrorKind) -> QmpError {
        at(&self.path, kind)
    }

    /// This process's.
    fn share(&self) -> &Share {
        let me = std::process::id();
        let mut share = &self.first_share;
        while share.pid != me {
            share = share.child.get_or_init(|| Share::of_child(share));
        }
        share
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.share().lock()
    }
}

/// The right to use the client; gives it back when dropped, also if the call panics.
struct Turn<'a> {
    share: &'a Share,
    client: Option<Client>,
    closed: Arc<AtomicBool>,
    broken: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut client = self.client.take();
        let mut slot = self.share.lock();
        slot.user = None;
        if let Some(client) = &client {
            slot.info.lost_events = client.session().lost_events();
        }
        let keep = !self.broken && !self.closed.load(Ordering::Acquire);
        if keep {
            slot.client = client.take();
        }
        slot.connected = slot.client.is_some();
        let waiting = slot.waiting;
        drop(slot);
        drop(client);
        if waiting > 0 {
            self.share.turn.notify_all();
        }
    }
}
