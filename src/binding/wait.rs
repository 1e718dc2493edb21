//! Waits without the GIL, ended by signals.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use super::errors;
use crate::qmp::deadline;
use crate::qmp::error::Result as QmpResult;
use crate::qmp::foreign_text::quoted;
use crate::qmp::{Deadline, ErrorKind, Interrupt, Interrupted, Wait};

/// Runs Python's signal handlers between the slices of a wait, and keeps what one raises.
#[derive(Default)]
struct Signals {
    raised: Mutex<Option<PyErr>>,
}

impl Interrupt for Signals {
    fn check(&self) -> Result<(), Interrupted> {
        // None: the interpreter is going away, and takes this thread with it.
        let checked = Python::try_attach(run_handlers).ok_or(Interrupted)?;
        checked.map_err(|error| {
            *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Interrupted
        })
    }
}

fn run_handlers(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}

/// Runs `call` without the GIL. It asks between the slices of its wait whether to go on; where a
/// signal handler raised meanwhile, that goes on as it is.
pub(crate) fn watching_signals<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(&dyn Fn() -> bool) -> T + Send,
) -> PyResult<T> {
    let signals = Signals::default();
    let result = py.detach(|| call(&|| signals.check().is_ok()));
    let raised = signals.raised.into_inner();
    match raised.unwrap_or_else(PoisonError::into_inner) {
        Some(raised) => Err(raised),
        None => Ok(result),
    }
}

/// Runs `call` without the GIL until `limit` has passed; errors become Python's.
pub(crate) fn without_gil<T: Send>(
    py: Python<'_>,
    limit: Duration,
    call: impl FnOnce(&Wait<'_>) -> QmpResult<T> + Send,
) -> PyResult<T> {
    let signals = Signals::default();
    let result = py.detach(|| call(&Wait::new(Deadline::after(limit), &signals)));
    result.map_err(|error| {
        let raised = signals
            .raised
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match (&error.kind, raised) {
            // What a handler raised goes on as it is, above all KeyboardInterrupt.
            (ErrorKind::Interrupted, Some(raised)) => raised,
            _ => errors::from_qmp(py, &error),
        }
    })
}

/// Python's seconds as a time-out.
pub(crate) fn timeout(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    deadline::seconds(seconds).map_err(|bad| errors::usage(py, bad.to_string()))
}

/// The environment variable with the time-out of calls that say none, in seconds.
const ENVIRONMENT: &str = "GANETI_HV_KVM_QMP_TIMEOUT";

/// The time-out of a connection that was not given one: the environment's, else five seconds.
pub(crate) fn default_timeout(py: Python<'_>) -> PyResult<Duration> {
    let Some(text) = std::env::var_os(ENVIRONMENT) else {
        return Ok(deadline::DEFAULT_TIMEOUT);
    };
    let text = text.to_string_lossy();
    let seconds = text.trim().parse().ok();
    seconds
        .and_then(|seconds| deadline::seconds(seconds).ok())
        .ok_or_else(|| {
            let why = format!(
                "nothing was sent: the environment variable {ENVIRONMENT} must be a finite number \
                 of seconds above zero, such as 5 or 2.5, and is {}; correct or unset it",
                quoted(&text)
            );
            errors::usage(py, why)
        })
}
