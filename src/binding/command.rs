//! What goes into a command and comes out of it, between Python and JSON.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMapping};

use super::{errors, json};
use crate::qmp::message::Message;

static IS_ENABLED_FOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Whether Python's root logger takes debug messages.
pub(super) fn is_debugging(py: Python<'_>) -> PyResult<bool> {
    const DEBUG: u8 = 10;
    let is_enabled_for = IS_ENABLED_FOR.get_or_try_init(py, || {
        let root = py.import("logging")?.call_method0("getLogger")?;
        root.getattr("isEnabledFor").map(Bound::unbind)
    })?;
    is_enabled_for.bind(py).call1((DEBUG,))?.is_truthy()
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

/// The value of a reply.
pub(super) fn read_return<'py>(py: Python<'py>, reply: &Message) -> PyResult<Bound<'py, PyAny>> {
    match reply.payload() {
        Some(text) => json::loads(py, text),
        None => Ok(py.None().into_bound(py)),
    }
}
