//! One absolute limit per call, and what may end a wait before it.

use std::fmt;
use std::time::{Duration, Instant};

/// The time of a call to a monitor where nobody said another one.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// No wait looks away from signals and from `close()` for longer than this.
pub const SLICE: Duration = Duration::from_millis(50);

/// A point in time that no event, however often it comes, can move.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    /// The deadline of a call that starts now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
        }
    }

    /// The whole time of the call.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// When the call started.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }

    /// What is left of it; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.remaining_at(Instant::now())
    }

    /// What is left of it at a certain time.
    #[must_use]
    pub fn remaining_at(&self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.start);
        self.limit.saturating_sub(passed)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// How long to wait before looking around again.
    #[must_use]
    pub fn slice(&self) -> Duration {
        self.remaining().min(SLICE)
    }
}

/// A number of seconds that is no time-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTimeout(String);

impl fmt::Display for BadTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTimeout {}

/// Takes seconds as a time-out.
///
/// # Errors
/// [`BadTimeout`] unless they are finite and above zero.
pub fn seconds(value: f64) -> Result<Duration, BadTimeout> {
    match Duration::try_from_secs_f64(value) {
        Ok(limit) if value > 0.0 => Ok(limit),
        _ => Err(BadTimeout(format!(
            "a time-out must be a finite number of seconds above zero, not {value}"
        ))),
    }
}

/// The reason to end a wait is known to whoever was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// Asked between the slices of every wait, and after each signal.
pub trait Interrupt {
    /// Whether the wait may go on.
    ///
    /// # Errors
    /// [`Interrupted`] to end it.
    fn check(&self) -> Result<(), Interrupted>;
}

/// Never ends a wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct Never;

impl Interrupt for Never {
    fn check(&self) -> Result<(), Interrupted> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_seconds_above_zero_are_a_timeout() {
        for bad in [
            0.0,
            -0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds(0.25), Ok(Duration::from_millis(250)));
        assert!(seconds(1e-300).is_ok());
        assert!(seconds(1e18).is_ok());
    }

    #[test]
    fn a_deadline_never_moves_on() {
        let deadline = Deadline::after(Duration::from_millis(5));
        let first = deadline.remaining();
        std::thread::sleep(Duration::from_millis(10));
        assert!(first <= Duration::from_millis(5));
        assert!(deadline.passed());
        assert_eq!(deadline.slice(), Duration::ZERO);
    }

    #[test]
    fn a_deadline_of_ages_is_waited_for_in_slices() {
        let deadline = Deadline::after(Duration::MAX);
        assert_eq!(deadline.slice(), SLICE);
    }
}
