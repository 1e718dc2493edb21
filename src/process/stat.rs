//! What /proc/PID/stat tells of a process.

use std::fs::File;
use std::io::{ErrorKind, Read};

use super::Doubt;

/// proc(5), the kernel's include/linux/sched.h: it closes its files, and is as good as ended.
const PF_EXITING: u64 = 4;
/// Longer than any; one read then takes the whole text, which the kernel makes anew each time.
const MOST_BYTES: usize = 2048;
/// Seconds by which the boot time, which has no fraction, and a file's time may differ.
const TOLERANCE: i64 = 2;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The state letter of proc(5): R, S, D, T, t, Z, X, ...
    pub state: char,
    /// Its main thread is on its way out.
    pub exiting: bool,
    /// How many threads it has; a zombie's main thread counts.
    pub threads: u64,
    /// When it began, in clock ticks since the machine did: with the pid, who it is.
    pub start_time: u64,
}

impl Stat {
    /// Whether it is stopped by a signal or a debugger: it obeys nothing but SIGKILL.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// Whether its main thread has ended.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether all of it has ended: only its parent has still to hear of it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.is_zombie() && self.threads <= 1
    }

    /// Whether it is on its way out, and something of it is still there.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.exiting && !self.has_ended()
    }

    /// Whether it began before `time`, in seconds since 1970.
    pub(super) fn began_before(&self, time: i64) -> Result<bool, Doubt> {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let since_boot = i64::try_from(self.start_time / ticks).unwrap_or(i64::MAX);
        Ok(since_boot.saturating_add(boot_time()?) <= time.saturating_add(TOLERANCE))
    }
}

fn boot_time() -> Result<i64, Doubt> {
    let text = std::fs::read_to_string("/proc/stat")
        .map_err(|error| Doubt(format!("/proc/stat cannot be read: {error}")))?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
        .ok_or_else(|| Doubt("/proc/stat does not tell when this node began".to_owned()))
}

/// What is known of process `pid`; None if it is gone.
///
/// # Errors
/// [`Doubt`]: /proc does not tell.
pub fn read_stat(pid: i32) -> Result<Option<Stat>, Doubt> {
    let doubt = |why: &str| Doubt(format!("/proc/{pid}/stat cannot be read: {why}"));
    if pid <= 0 {
        return Ok(None);
    }
    let mut buffer = [0; MOST_BYTES];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| {
        loop {
            match file.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    });
    let size = match read {
        Ok(size) => size,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match std::fs::metadata("/proc/self/stat") {
                Ok(_) => Ok(None),
                // Without /proc no process has a file there.
                Err(error) => Err(doubt(&format!("/proc itself cannot: {error}"))),
            };
        }
        Err(error) => return Err(doubt(&error.to_string())),
    };
    parse(&String::from_utf8_lossy(
        buffer.get(..size).unwrap_or_default(),
    ))
    .map(Some)
    .ok_or_else(|| doubt("it has an unknown form"))
}

/// Reads the text of /proc/PID/stat; None if it has another form.
#[must_use]
pub fn parse(text: &str) -> Option<Stat> {
    // The second field, in parentheses, is the process's own choice and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let flags: u64 = fields.nth(5)?.parse().ok()?;
    let threads = fields.nth(10)?.parse().ok()?;
    let start_time = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        state,
        exiting: flags & PF_EXITING != 0,
        threads,
        start_time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = "7 (a) T 9 (b) S 1 7 7 0 -1 4194564 1 0 0 0 1 2 0 0 20 0 3 0 4711 5 6";
        let stat = parse(text).unwrap();
        assert_eq!(
            (stat.state, stat.exiting, stat.threads, stat.start_time),
            ('S', true, 3, 4711)
        );
        assert_eq!(parse("7 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn our_own_process_is_there_and_number_zero_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = read_stat(pid).unwrap().unwrap();
        assert!(stat.start_time > 0 && !stat.exiting && !stat.has_ended());
        assert_eq!(read_stat(0), Ok(None));
        assert_eq!(read_stat(i32::MAX), Ok(None));
        assert_eq!(stat.began_before(0), Ok(false));
        assert_eq!(stat.began_before(i64::MAX), Ok(true));
    }
}
