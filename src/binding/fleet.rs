//! `query_fleet`: many monitors asked at once.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::command::{command_name, read_bounded, unreadable, write_arguments};
use super::errors;
use super::json::{Bounds, Unreadable};
use super::listed::Listed;
use super::wait::{default_timeout, timeout as seconds, without_gil};
use crate::qmp::fleet::{self, Answer, Guest, Question, Verdict};
use crate::qmp::message::max_values;
use crate::qmp::{Interrupted, QmpError};

/// So many values are made of the answers of all guests together: some 64 bytes each.
const MOST_VALUES: usize = 4 << 20;

/// What a guest answered to `query_fleet`.
#[pyclass(frozen, module = "ganeti_hv_kvm._native")]
pub(crate) struct FleetAnswer {
    verdict: &'static str,
    peer_pid: Option<i32>,
    replies: Py<PyList>,
    error: Option<Py<PyAny>>,
}

impl FleetAnswer {
    /// A guest whose reply cannot be read is broken, and no other is.
    fn build(py: Python<'_>, path: &Path, answer: Answer, left: &Bounds) -> PyResult<Self> {
        let replies = PyList::empty(py);
        let mut this = Self {
            verdict: answer.verdict.name(),
            peer_pid: answer.pid,
            replies: replies.clone().unbind(),
            error: answer.error.map(|error| exception(py, &error)),
        };
        for reply in answer.replies {
            let reply = match reply {
                Ok(reply) => read_bounded(py, &reply, left),
                Err(refusal) => Ok(exception(py, &refusal).into_bound(py)),
            };
            match reply {
                Ok(value) => replies.append(value)?,
                Err(Unreadable::Text(why)) => {
                    this.verdict = Verdict::Broken.name();
                    this.error = Some(exception(py, &unreadable(path, &why)));
                    break;
                }
                Err(Unreadable::Python(error)) => return Err(*error),
            }
        }
        Ok(this)
    }
}

fn exception(py: Python<'_>, error: &QmpError) -> Py<PyAny> {
    errors::from_qmp(py, error).into_value(py).into_any()
}

#[pymethods]
impl FleetAnswer {
    /// "answered", "busy" (with another client), "stopped" (the process), "gone", "silent" (no
    /// answer in time) or "broken" (the connection, or the protocol).
    #[getter]
    fn verdict(&self) -> &'static str {
        self.verdict
    }

    /// The process that listens on the monitor, or None if it was not reached.
    #[getter]
    fn peer_pid(&self) -> Option<i32> {
        self.peer_pid
    }

    /// For each command the value of QEMU's "return", or a `QmpRefusedError` (not raised); fewer
    /// than commands unless all were answered.
    #[getter]
    fn replies(&self, py: Python<'_>) -> Py<PyList> {
        self.replies.clone_ref(py)
    }

    /// Why there are fewer, as an exception (not raised); None for "answered".
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.error.as_ref().map(|error| error.clone_ref(py))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let count = self.replies.bind(py).len();
        format!("<FleetAnswer {}, replies: {count}>", self.verdict)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.replies)?;
        visit.call(&self.error)
    }
}

/// Asks the monitors at `paths` the same commands, all at once; the answers in the same order.
///
/// A command is a name, or a pair of a name and arguments. `timeout` seconds are for everything
/// together; None: as for a connection. `pids` are the guests' processes where they are known: one
/// that is stopped is told at once. `pids` may also be a function that finds them: it is called
/// when all have been asked, and works while they answer; a guest for which it gives None is gone.
/// What is wrong with one guest is in its answer and disturbs no other; nothing is raised but for
/// wrong arguments, a lack of descriptors for even one guest, by `pids`, and by signals.
#[pyfunction]
#[pyo3(signature = (paths, commands, *, timeout = None, pids = None, max_message_size = None))]
pub(crate) fn query_fleet(
    py: Python<'_>,
    paths: Listed<PathBuf>,
    commands: &Bound<'_, PyAny>,
    timeout: Option<f64>,
    pids: Option<&Bound<'_, PyAny>>,
    max_message_size: Option<usize>,
) -> PyResult<Vec<FleetAnswer>> {
    let limit = match timeout {
        Some(timeout) => seconds(py, timeout)?,
        None => default_timeout(py)?,
    };
    let questions = commands
        .try_iter()?
        .map(|command| question(&command?))
        .collect::<PyResult<Vec<_>>>()?;
    let Listed(paths) = paths;
    let sockets = paths.clone();
    let size = max_message_size.unwrap_or(fleet::DEFAULT_LIMIT);
    let answers = if let Some(find) = pids.filter(|pids| pids.is_callable()) {
        let finder = Finder::new(find, paths.len());
        let guests = guests(paths, None)?;
        let answers = without_gil(py, limit, |wait| {
            fleet::query_and_find(&guests, &questions, size, wait, || finder.find())
        });
        finder.raised()?;
        answers?
    } else {
        let pids: Option<Listed<_>> = pids.map(PyAnyMethods::extract).transpose()?;
        let guests = guests(paths, pids.map(|Listed(pids)| pids))?;
        without_gil(py, limit, |wait| {
            fleet::query(&guests, &questions, size, wait)
        })?
    };
    let most = max_values(size);
    let mut left = MOST_VALUES.max(most);
    let mut answers: Vec<_> = sockets.iter().zip(answers).enumerate().collect();
    // Whoever said much comes last: its values are not made at the cost of the others'.
    answers.sort_by_key(|(_, (_, answer))| answer.bytes());
    let read = |(place, (path, answer)): (usize, (&PathBuf, Answer))| {
        let bounds = Bounds::new(most.min(left));
        let built = FleetAnswer::build(py, path, answer, &bounds);
        left -= most.min(left) - bounds.left();
        built.map(|built| (place, built))
    };
    let mut built = answers
        .into_iter()
        .map(read)
        .collect::<PyResult<Vec<_>>>()?;
    built.sort_by_key(|(place, _)| *place);
    Ok(built.into_iter().map(|(_, answer)| answer).collect())
}

type Pids = Vec<Option<i32>>;

fn guests(paths: Vec<PathBuf>, pids: Option<Pids>) -> PyResult<Vec<Guest>> {
    let pids = pids.unwrap_or_else(|| vec![None; paths.len()]);
    check(&pids, paths.len())?;
    let guest = |(path, pid)| Guest { path, pid };
    Ok(paths.into_iter().zip(pids).map(guest).collect())
}

fn check(pids: &Pids, count: usize) -> PyResult<()> {
    if pids.len() == count {
        return Ok(());
    }
    Err(PyValueError::new_err("a process for each path is needed"))
}

/// Python's function that finds the processes; what it raises ends the query.
struct Finder {
    find: Py<PyAny>,
    count: usize,
    raised: Mutex<Option<PyErr>>,
}

impl Finder {
    fn new(find: &Bound<'_, PyAny>, count: usize) -> Self {
        Self {
            find: find.clone().unbind(),
            count,
            raised: Mutex::new(None),
        }
    }

    fn find(&self) -> Result<Pids, Interrupted> {
        // None: the interpreter is going away.
        let found = Python::try_attach(|py| {
            let Listed(pids) = self.find.call0(py)?.extract(py)?;
            check(&pids, self.count)?;
            Ok(pids)
        });
        found.ok_or(Interrupted)?.map_err(|error| {
            *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Interrupted
        })
    }

    fn raised(self) -> PyResult<()> {
        let raised = self.raised.into_inner();
        raised
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }
}

fn question(command: &Bound<'_, PyAny>) -> PyResult<Question> {
    if let Ok(name) = command.cast::<PyString>() {
        return Ok(Question {
            command: command_name(name)?,
            arguments: None,
        });
    }
    let (command, arguments): (Bound<'_, PyString>, Bound<'_, PyAny>) = command.extract()?;
    let command = command_name(&command)?;
    let arguments = write_arguments(arguments.py(), &command, Some(&arguments))?;
    Ok(Question { command, arguments })
}
