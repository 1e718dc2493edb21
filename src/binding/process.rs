//! The QEMU process of an instance: is it there, what was it started with, how does it end.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;

use super::errors;
use super::listed::Listed;
use super::wait::watching_signals;
use crate::process::{self, Doubt, Ending, Found, Handle, Values};

/// More than any wait lasts: a number of seconds that no `Duration` can hold.
const AGES: Duration = Duration::from_secs(1 << 32);

fn unknown(py: Python<'_>, doubt: Doubt) -> PyErr {
    errors::process_unknown(py, doubt.0)
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(AGES)
}

/// The process of the QEMU whose `-pidfile` and QMP socket these are, or None if there is none.
///
/// `ProcessUnknownError`: it cannot be told.
#[pyfunction]
pub(crate) fn find_process(
    py: Python<'_>,
    pidfile: PathBuf,
    monitor: PathBuf,
) -> PyResult<Option<i32>> {
    let found = py.detach(move || process::find(&pidfile, &monitor));
    let found = found.map_err(|doubt| unknown(py, doubt))?;
    Ok(found.map(|found| found.pid))
}

/// The same for many, each a pair of pid file and QMP socket.
///
/// Each is None, or process id, MiB of memory and number of vCPUs (these as its command line says,
/// None where that cannot be read), or a `ProcessUnknownError` (not raised).
#[pyfunction]
pub(crate) fn find_processes(
    py: Python<'_>,
    places: Listed<(PathBuf, PathBuf)>,
) -> PyResult<Vec<Option<Py<PyAny>>>> {
    let found: Vec<_> = py.detach(move || places.0.iter().map(one_of_many).collect());
    let as_object = |one| match one {
        Ok(None) => Ok(None),
        Ok(Some((found, values))) => object(py, found, &values).map(Some),
        Err(doubt) => Ok(Some(unknown(py, doubt).into_value(py).into_any())),
    };
    found.into_iter().map(as_object).collect()
}

type Known = Result<Option<(Found, Values)>, Doubt>;

fn one_of_many(place: &(PathBuf, PathBuf)) -> Known {
    let found = process::find(&place.0, &place.1)?;
    Ok(found.map(|found| (found, process::values(found.pid))))
}

fn object(py: Python<'_>, found: Found, values: &Values) -> PyResult<Py<PyAny>> {
    let known = (found.pid, values.memory, values.vcpus);
    Ok(known.into_pyobject(py)?.into_any().unbind())
}

/// What a process is doing: "running", "stopped" (by a signal or a debugger), "frozen" (by the
/// freezer of its cgroup), "exiting" or "gone".
///
/// `ProcessUnknownError`: it cannot be told.
#[pyfunction]
pub(crate) fn process_condition(py: Python<'_>, pid: i32) -> PyResult<&'static str> {
    let condition = py.detach(|| process::condition(pid));
    let condition = condition.map_err(|doubt| unknown(py, doubt))?;
    Ok(condition.name())
}

/// What the command line of a process says: its -name, MiB of memory and number of vCPUs.
///
/// None for each where it does not say, or not in known words. These never tell who a process is.
#[pyfunction]
pub(crate) fn process_values(
    py: Python<'_>,
    pid: i32,
) -> (Option<String>, Option<u64>, Option<u64>) {
    let values = py.detach(|| process::values(pid));
    (values.name, values.memory, values.vcpus)
}

/// Verdict, process id, state letter, condition.
type Ended = (&'static str, i32, char, &'static str);

/// Ends the QEMU whose `-pidfile` and QMP socket these are: SIGTERM, and SIGKILL `grace` seconds
/// later; then waits as long again.
///
/// Gives a verdict, the process id (0 for nobody), and of one that is still there its state letter
/// (proc(5)) and what `process_condition` says. `ProcessUnknownError`: it cannot be told.
#[pyfunction]
pub(crate) fn end_process(
    py: Python<'_>,
    pidfile: PathBuf,
    monitor: PathBuf,
    grace: f64,
) -> PyResult<Ended> {
    let grace = duration(grace);
    let ending = watching_signals(py, move |go_on| {
        process::end(&pidfile, &monitor, grace, go_on)
    })?;
    match ending {
        Ending::Nobody => Ok(("nobody", 0, ' ', "")),
        Ending::Ended(pid) => Ok(("ended", pid, ' ', "")),
        Ending::Killed(pid) => Ok(("killed", pid, ' ', "")),
        Ending::StillThere {
            pid,
            state,
            condition,
        } => Ok(("still there", pid, state, condition.name())),
        Ending::CannotTell(doubt) => Err(unknown(py, doubt)),
        Ending::Interrupted => Err(interrupted(py)),
    }
}

fn interrupted(py: Python<'_>) -> PyErr {
    errors::process_unknown(py, "the wait for its end was interrupted".to_owned())
}

/// Waits for the end of the process that has this number now, `seconds` at most: has it ended?
///
/// A zombie that nobody reaps has; one whose threads live on has not. `ProcessUnknownError`: it
/// cannot be told.
#[pyfunction]
pub(crate) fn wait_for_process(py: Python<'_>, pid: i32, seconds: f64) -> PyResult<bool> {
    let limit = duration(seconds);
    let waited = watching_signals(py, |go_on| {
        match Handle::open(pid).map_err(Ending::CannotTell)? {
            None => Ok(true),
            Some(handle) => handle.wait(limit, go_on),
        }
    })?;
    match waited {
        Ok(ended) => Ok(ended),
        Err(Ending::CannotTell(doubt)) => Err(unknown(py, doubt)),
        Err(_) => Err(interrupted(py)),
    }
}
