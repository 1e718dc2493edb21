//! What goes into a command and comes out of it, between Python and JSON.

use std::path::Path;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMapping, PySequence, PyString, PyTuple};

use super::json::{Bounds, Unreadable};
use super::{errors, json};
use crate::qmp::error::ErrorKind;
use crate::qmp::foreign_text::printable;
use crate::qmp::message::{Message, max_values};
use crate::qmp::{Connection, QmpError, secrets};

static IS_ENABLED_FOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Makes what is made once; the module's import calls it, so that no fork catches it half made.
pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
    // PyO3 imports `collections.abc.Mapping` and `.Sequence` for the first object that is no dict
    // and no list, `operator.length_hint` for the first iterator, and makes the names that an
    // error's text needs.
    let _ = py.None().bind(py).cast::<PyMapping>();
    let _ = py.None().bind(py).cast::<PySequence>();
    let _ = PyTuple::empty(py).try_iter()?.size_hint();
    let _ = PyValueError::new_err("").to_string();
    is_enabled_for(py).map(drop)
}

fn is_enabled_for(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let found = IS_ENABLED_FOR.get_or_try_init(py, || {
        let root = py.import("logging")?.call_method0("getLogger")?;
        root.getattr("isEnabledFor").map(Bound::unbind)
    })?;
    Ok(found.bind(py))
}

/// Whether Python's root logger takes debug messages.
pub(super) fn is_debugging(py: Python<'_>) -> PyResult<bool> {
    const DEBUG: u8 = 10;
    is_enabled_for(py)?.call1((DEBUG,))?.is_truthy()
}

/// A command's name; `QmpError` for what no text over the wire can say.
pub(super) fn command_name(command: &Bound<'_, PyString>) -> PyResult<String> {
    let text = command.to_cow().map_err(|_| {
        let why = "nothing was sent: a command's name with half of a surrogate pair";
        errors::usage(command.py(), why.to_owned())
    })?;
    Ok(text.into_owned())
}

/// A command's arguments as JSON text; None if there are none.
pub(super) fn write_arguments(
    py: Python<'_>,
    command: &str,
    arguments: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<String>> {
    let Some(arguments) = arguments else {
        return Ok(None);
    };
    if !arguments.is_truthy()? {
        return Ok(None);
    }
    let wrong = |why: &str| errors::usage(py, format!("the arguments of {command} {why}"));
    let Ok(mapping) = arguments.cast::<PyMapping>() else {
        return Err(wrong("are no mapping"));
    };
    let dict = PyDict::new(py);
    dict.update(mapping)?;
    let text = json::dumps(dict.as_any(), json::Style::Wire)?;
    Ok(Some(text.to_cow()?.into_owned()))
}

/// A command's arguments as JSON text that a log may show: secrets are `***`, at any depth.
#[pyfunction]
pub(super) fn mask_secrets(py: Python<'_>, arguments: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = write_arguments(py, "the command", Some(arguments))?;
    Ok(text.as_deref().map(secrets::masked).unwrap_or_default())
}

/// The value of a reply; a [`QmpError`] that names the monitor if it cannot be read.
pub(super) fn read_return<'py>(
    py: Python<'py>,
    connection: &Connection,
    reply: &Message,
) -> PyResult<Bound<'py, PyAny>> {
    let bounds = Bounds::new(max_values(connection.limit()));
    read_bounded(py, reply, &bounds).map_err(|error| match error {
        Unreadable::Text(why) => errors::from_qmp(py, &unreadable(connection.path(), &why)),
        Unreadable::Python(error) => *error,
    })
}

/// The same, where several replies share their bounds.
pub(super) fn read_bounded<'py>(
    py: Python<'py>,
    reply: &Message,
    bounds: &Bounds,
) -> Result<Bound<'py, PyAny>, Unreadable> {
    match reply.payload() {
        Some(text) => json::loads_within(py, text, bounds),
        None => Ok(py.None().into_bound(py)),
    }
}

/// Who sent what cannot be read, and why it cannot.
pub(super) fn unreadable(path: &Path, why: &str) -> QmpError {
    let kind = ErrorKind::Protocol {
        why: format!("a message {why}"),
    };
    QmpError::new(printable(&path.display().to_string()), kind)
}
