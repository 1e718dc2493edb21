//! Ending a process, and no other one.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::stat::Stat;
use super::{Condition, Doubt, Found, Witness, condition, find, read_stat};

/// What became of a process that was to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// There was nobody to end, or it went before anything was sent.
    Nobody,
    /// It ended.
    Ended(i32),
    /// It ended by SIGKILL, as it had not obeyed SIGTERM.
    Killed(i32),
    /// It is still there after SIGKILL.
    StillThere {
        /// Its process id.
        pid: i32,
        /// Its state letter (proc(5)).
        state: char,
        /// What it is doing.
        condition: Condition,
    },
    /// It cannot be told whether it is there, or is the right one.
    CannotTell(Doubt),
    /// The caller does not want to wait any longer.
    Interrupted,
}

/// How often a process is looked at for which the kernel gives no pidfd.
const LOOK: Duration = Duration::from_millis(20);
/// No wait looks away from the caller for longer than this.
const SLICE: Duration = Duration::from_millis(50);

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug)]
pub struct Handle {
    pid: Pid,
    start_time: u64,
    /// None where the kernel or a seccomp profile does not give one.
    pidfd: Option<OwnedFd>,
}

impl Handle {
    /// Takes hold of process `pid`; None if it is gone.
    ///
    /// # Errors
    /// [`Doubt`]: /proc does not tell when it began.
    pub fn open(pid: i32) -> Result<Option<Self>, Doubt> {
        let Some(number) = Pid::from_raw(pid) else {
            return Ok(None);
        };
        let pidfd = pidfd_open(number, PidfdFlags::empty());
        if matches!(pidfd, Err(rustix::io::Errno::SRCH)) {
            return Ok(None);
        }
        Ok(read_stat(pid)?.map(|stat| Self {
            pid: number,
            start_time: stat.start_time,
            pidfd: pidfd.ok(),
        }))
    }

    /// What is known of it; None if it is gone, also if another has its number by now.
    fn stat(&self) -> Result<Option<Stat>, Doubt> {
        let stat = read_stat(self.pid.as_raw_nonzero().get())?;
        Ok(stat.filter(|stat| stat.start_time == self.start_time && !stat.has_ended()))
    }

    fn send(&self, signal: Signal) -> Result<(), Doubt> {
        if let Some(pidfd) = &self.pidfd {
            match pidfd_send_signal(pidfd, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => return Ok(()),
                // A profile may know the one call and not the other.
                Err(_) => {}
            }
        }
        if self.stat()?.is_none() {
            return Ok(());
        }
        match kill_process(self.pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(Doubt(format!(
                "process {} was not sent signal {}: {errno}",
                self.pid.as_raw_nonzero(),
                signal.as_raw()
            ))),
        }
    }

    /// Waits for its end, all of its threads; a zombie that nobody reaps has ended.
    ///
    /// `go_on` is asked between the slices of the wait. True when it has ended.
    ///
    /// # Errors
    /// [`Ending::Interrupted`] and [`Ending::CannotTell`].
    pub fn wait(&self, limit: Duration, go_on: &dyn Fn() -> bool) -> Result<bool, Ending> {
        let start = Instant::now();
        loop {
            if !go_on() {
                return Err(Ending::Interrupted);
            }
            let left = limit.saturating_sub(start.elapsed());
            if self
                .ended_within(left.min(SLICE))
                .map_err(Ending::CannotTell)?
            {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    fn ended_within(&self, slice: Duration) -> Result<bool, Doubt> {
        if let Some(pidfd) = &self.pidfd {
            let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            let millis = slice.as_micros().div_ceil(1000);
            match poll(
                &mut fds,
                PollTimeout::from(u8::try_from(millis).unwrap_or(u8::MAX)),
            ) {
                Ok(0) | Err(Errno::EINTR) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(_) => {}
            }
        }
        if self.stat()?.is_none() {
            return Ok(true);
        }
        std::thread::sleep(slice.min(LOOK));
        Ok(self.stat()?.is_none())
    }
}

/// Ends the QEMU whose `-pidfile` and QMP socket these are, by SIGTERM and then SIGKILL.
///
/// Whoever the kernel names now is ended, and nobody else. A stopped or frozen process cannot obey
/// SIGTERM, and is killed at once. `grace` is for each of the two signals.
#[must_use]
pub fn end(pidfile: &Path, monitor: &Path, grace: Duration, go_on: &dyn Fn() -> bool) -> Ending {
    try_to_end(pidfile, monitor, grace, go_on).unwrap_or_else(|ending| ending)
}

fn try_to_end(
    pidfile: &Path,
    monitor: &Path,
    grace: Duration,
    go_on: &dyn Fn() -> bool,
) -> Result<Ending, Ending> {
    let doubt = Ending::CannotTell;
    let Some(found) = find(pidfile, monitor).map_err(doubt)? else {
        return Ok(Ending::Nobody);
    };
    let pid = found.pid;
    let Some(process) = Handle::open(pid).map_err(doubt)? else {
        return gone_or_hidden(pidfile, monitor, pid);
    };
    // It may have gone, and its number to somebody else, before it was taken hold of.
    let again = find(pidfile, monitor).map_err(doubt)?;
    if !is_still(pid, again).map_err(doubt)? {
        return Ok(Ending::Nobody);
    }
    let runs = condition(pid).map_err(doubt)? == Condition::Running;
    let mut ended = Ending::Ended(pid);
    if found.witness != Witness::Exiting {
        if runs {
            process.send(Signal::TERM).map_err(doubt)?;
            if process.wait(grace, go_on)? {
                return Ok(ended);
            }
            ended = Ending::Killed(pid);
        }
        process.send(Signal::KILL).map_err(doubt)?;
    }
    // TAP devices and disks are free only once it is gone, whatever it is doing till then.
    if process.wait(grace, go_on)? {
        return Ok(ended);
    }
    let Some(stat) = process.stat().map_err(doubt)? else {
        return Ok(ended);
    };
    Ok(Ending::StillThere {
        pid,
        state: stat.state,
        condition: condition(pid).map_err(doubt)?,
    })
}

/// The witness named a process that has no number: it went meanwhile, or was never visible here.
fn gone_or_hidden(pidfile: &Path, monitor: &Path, pid: i32) -> Result<Ending, Ending> {
    match find(pidfile, monitor).map_err(Ending::CannotTell)? {
        Some(found) if found.pid == pid => Err(Ending::CannotTell(Doubt(format!(
            "process {pid} is named by {} or {}, and cannot be seen from here",
            pidfile.display(),
            monitor.display()
        )))),
        other => is_still(pid, other)
            .map(|_| Ending::Nobody)
            .map_err(Ending::CannotTell),
    }
}

/// Whether it is the same process at a second look, and not gone.
///
/// # Errors
/// [`Doubt`]: another one has the instance's files now, which nobody asked to end.
fn is_still(pid: i32, again: Option<Found>) -> Result<bool, Doubt> {
    match again {
        Some(other) if other.pid != pid => Err(Doubt(format!(
            "process {pid} had the instance's files a moment ago, and process {} has them now: \
             somebody else starts or ends this instance",
            other.pid
        ))),
        Some(_) => Ok(true),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_not_nobody() {
        let found = |pid| {
            Some(Found {
                pid,
                witness: Witness::Lock,
            })
        };
        assert_eq!(is_still(7, found(7)), Ok(true));
        assert_eq!(is_still(7, None), Ok(false));
        let Err(Doubt(why)) = is_still(7, found(8)) else {
            panic!("it was taken for nobody");
        };
        assert!(why.contains("process 8 has them now"), "{why}");
    }
}
