//! Is it there: real processes that hold their pid file as QEMU does, or do not.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::zombie_processes
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ganeti_hv_kvm::process::{
    Condition, Ending, Found, Handle, Witness, condition, end, find, read_stat,
};
use tempfile::TempDir;

const AMPLE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

/// Takes the lock as QEMU does, listens as it does, and says when it is ready.
const QEMU: &str = "
import fcntl, os, signal, socket, sys, threading, time
pidfile, monitor, *habits = sys.argv[1:]
file = open(pidfile, 'w')
fcntl.lockf(file, fcntl.LOCK_EX)
file.write(f'{os.getpid()}\\n'); file.flush()
if 'listens' in habits:
    listener = socket.socket(socket.AF_UNIX); listener.bind(monitor); listener.listen(1)
if 'unlocks' in habits:
    fcntl.lockf(file, fcntl.LOCK_UN)
if 'stubborn' in habits:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if 'zombie' in habits:
    import ctypes
    threading.Thread(target=time.sleep, args=(600,)).start()
    print(flush=True)
    ctypes.CDLL(None).pthread_exit(None)
print(flush=True)
time.sleep(600)
";

struct Guest {
    folder: Option<TempDir>,
    pidfile: PathBuf,
    monitor: PathBuf,
    child: Child,
}

impl Guest {
    fn start(habits: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let (pidfile, monitor) = (folder.path().join("pid"), folder.path().join("qmp"));
        let mut guest = Self::with_files(habits, pidfile, monitor);
        guest.folder = Some(folder);
        guest
    }

    fn with_files(habits: &[&str], pidfile: PathBuf, monitor: PathBuf) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", QEMU])
            .args([&pidfile, &monitor])
            .args(habits)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            folder: None,
            pidfile,
            monitor,
            child,
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn is(&self, witness: Witness) {
        let found = find(&self.pidfile, &self.monitor).unwrap();
        assert_eq!(
            found,
            Some(Found {
                pid: self.pid(),
                witness
            })
        );
    }

    fn is_gone(&self) {
        assert_eq!(find(&self.pidfile, &self.monitor), Ok(None));
    }

    fn end(&self, grace: Duration) -> Ending {
        end(&self.pidfile, &self.monitor, grace, &|| true)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.folder.take());
    }
}

#[test]
fn the_lock_counts_whatever_the_file_contains() {
    let guest = Guest::start(&[]);
    for content in ["", "1\n", "99999999999999999999", "\u{fffd}\0\u{1}", "-1"] {
        // In place: the lock belongs to the file's inode.
        fs::write(&guest.pidfile, content).unwrap();
        guest.is(Witness::Lock);
    }
}

#[test]
fn where_the_pid_file_is_gone_the_listener_counts() {
    let guest = Guest::start(&["listens"]);
    fs::remove_file(&guest.pidfile).unwrap();
    guest.is(Witness::Listener);
    // Something else in its place changes nothing.
    fs::create_dir(&guest.pidfile).unwrap();
    guest.is(Witness::Listener);
    fs::remove_dir(&guest.pidfile).unwrap();
    std::os::unix::fs::symlink(&guest.pidfile, &guest.pidfile).unwrap();
    guest.is(Witness::Listener);
    fs::remove_file(&guest.pidfile).unwrap();
    std::os::unix::fs::symlink("/nowhere", &guest.pidfile).unwrap();
    guest.is(Witness::Listener);
    assert_eq!(guest.end(AMPLE), Ending::Ended(guest.pid()));
    guest.is_gone();
}

/// A cleaner of /run took both: the kernel still knows the name that its socket was bound to.
#[test]
fn where_both_files_are_gone_the_name_of_the_socket_counts() {
    let guest = Guest::start(&["listens"]);
    fs::remove_file(&guest.pidfile).unwrap();
    fs::remove_file(&guest.monitor).unwrap();
    guest.is(Witness::Listener);
    // Something else in their places changes nothing.
    fs::write(&guest.monitor, "").unwrap();
    fs::write(&guest.pidfile, "1\n").unwrap();
    guest.is(Witness::Listener);
    let other = guest.monitor.with_file_name("other");
    assert_eq!(find(&guest.pidfile, &other), Ok(None));
    assert_eq!(guest.end(AMPLE), Ending::Ended(guest.pid()));
    guest.is_gone();
}

/// The whole directory was taken away, and Ganeti knows it by a link.
#[test]
fn where_the_directory_of_both_is_gone_it_is_found_all_the_same() {
    let link = TempDir::new().unwrap();
    let folder = TempDir::new().unwrap();
    let run = link.path().join("run");
    std::os::unix::fs::symlink(folder.path(), &run).unwrap();
    fs::create_dir(run.join("pid")).unwrap();
    let guest = Guest::with_files(&["listens"], run.join("pid/web1"), run.join("web1.qmp"));
    fs::remove_file(&guest.monitor).unwrap();
    fs::remove_dir_all(run.join("pid")).unwrap();
    guest.is(Witness::Listener);
}

/// Somebody put a proxy before the monitor, and it outlived QEMU and its files.
#[test]
fn a_listener_that_never_had_the_pid_file_is_no_qemu() {
    let guest = Guest::start(&["listens"]);
    let folder = TempDir::new().unwrap();
    let pidfile = folder.path().join("pid");
    fs::remove_file(&guest.monitor).unwrap();
    assert_eq!(find(&pidfile, &guest.monitor), Ok(None));
    fs::write(&pidfile, format!("{}\n", guest.pid())).unwrap();
    assert_eq!(find(&pidfile, &guest.monitor), Ok(None));
}

#[test]
fn what_cannot_be_read_is_neither_yes_nor_no() {
    let guest = Guest::start(&[]);
    fs::remove_file(&guest.pidfile).unwrap();
    std::os::unix::fs::symlink(&guest.pidfile, &guest.pidfile).unwrap();
    let doubt = find(&guest.pidfile, &guest.monitor).unwrap_err();
    assert!(
        doubt.0.contains(&guest.pidfile.display().to_string()),
        "{doubt}"
    );
    assert!(matches!(guest.end(AMPLE), Ending::CannotTell(_)));
    assert_eq!(condition(guest.pid()), Ok(Condition::Running));
}

#[test]
fn a_stranger_with_the_number_of_a_pid_file_is_left_alone() {
    let stranger = Guest::start(&[]);
    let guest = Guest::start(&["unlocks"]);
    guest.is_gone();
    fs::write(&guest.pidfile, stranger.pid().to_string()).unwrap();
    guest.is_gone();
    assert_eq!(guest.end(AMPLE), Ending::Nobody);
    assert_eq!(condition(stranger.pid()), Ok(Condition::Running));
}

#[test]
fn a_killed_one_leaves_a_file_that_is_nobodys() {
    let mut guest = Guest::start(&["listens"]);
    guest.child.kill().unwrap();
    guest.child.wait().unwrap();
    assert!(guest.pidfile.exists() && guest.monitor.exists());
    guest.is_gone();
    assert_eq!(condition(guest.pid()), Ok(Condition::Gone));
}

#[test]
fn it_ends_by_sigterm_by_sigkill_or_at_once() {
    for (habits, stop, grace) in [
        (&[][..], false, AMPLE),
        (&["stubborn"], false, SHORT),
        (&["stubborn"], true, AMPLE),
    ] {
        let guest = Guest::start(habits);
        if stop {
            guest.signal("-STOP");
            while condition(guest.pid()) != Ok(Condition::Stopped) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        guest.is(Witness::Lock);
        let start = Instant::now();
        // The test never reaps it: a zombie has ended.
        let ending = match (habits.is_empty(), stop) {
            (false, false) => Ending::Killed(guest.pid()),
            _ => Ending::Ended(guest.pid()),
        };
        assert_eq!(guest.end(grace), ending, "{habits:?}");
        assert!(start.elapsed() < AMPLE);
        guest.is_gone();
        assert_eq!(condition(guest.pid()), Ok(Condition::Gone));
    }
}

#[test]
fn a_main_thread_that_has_ended_is_not_the_end() {
    let guest = Guest::start(&["zombie"]);
    while !read_stat(guest.pid()).unwrap().unwrap().is_zombie() {
        std::thread::sleep(Duration::from_millis(5));
    }
    guest.is(Witness::Lock);
    assert_eq!(condition(guest.pid()), Ok(Condition::Exiting));
    let handle = Handle::open(guest.pid()).unwrap().unwrap();
    assert_eq!(handle.wait(SHORT, &|| true), Ok(false));
    assert_eq!(guest.end(AMPLE), Ending::Ended(guest.pid()));
}

#[test]
fn a_wait_ends_when_the_caller_says_so() {
    let guest = Guest::start(&["stubborn"]);
    let ending = end(&guest.pidfile, &guest.monitor, AMPLE, &|| false);
    assert_eq!(ending, Ending::Interrupted);
    guest.is(Witness::Lock);
}
