//! JSON text to Python objects and back.

mod keys;
mod reader;
mod scan;
mod values;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString};

use super::errors;
use crate::qmp::message::MAX_DEPTH;
use reader::Stop;

/// How JSON is written.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// As Python's own `json.dumps` does, and so Ganeti's files and logs.
    Readable,
    /// Without a blank: QEMU reads commands byte by byte.
    Wire,
}

static READABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static WIRE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A Python object as a single line of JSON.
///
/// The error says nothing of the content: it may hold a secret.
pub(crate) fn dumps<'py>(
    value: &Bound<'py, PyAny>,
    style: Style,
) -> PyResult<Bound<'py, PyString>> {
    let py = value.py();
    let (encode, separators) = match style {
        Style::Readable => (&READABLE, (", ", ": ")),
        Style::Wire => (&WIRE, (",", ":")),
    };
    let encode = encode.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item("allow_nan", false)?;
        options.set_item("separators", separators)?;
        let encoder = py
            .import("json")?
            .getattr("JSONEncoder")?
            .call((), Some(&options))?;
        encoder.getattr("encode").map(Bound::unbind)
    })?;
    let text = encode.bind(py).call1((value,)).map_err(|error| {
        if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            return error;
        }
        let class = error.get_type(py).name();
        let class = class.map_or_else(|_| "an error".to_owned(), |name| name.to_string());
        let what = value.get_type().name();
        let what = what.map_or_else(|_| "a value".to_owned(), |name| name.to_string());
        errors::usage(
            py,
            format!("a {what} that cannot be written as JSON ({class})"),
        )
    })?;
    Ok(text.cast_into::<PyString>()?)
}

/// JSON text as Python objects; integers keep their value, however large.
pub(crate) fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    match reader::read(py, text) {
        Ok(value) => Ok(value),
        Err(Stop::NotMine) => loads_slowly(py, text),
        Err(Stop::TooDeep) => {
            let why = format!("more than {MAX_DEPTH} lists and objects in each other");
            Err(errors::protocol(py, format!("a message with {why}")))
        }
        Err(Stop::Python(error)) => Err(*error),
    }
}

fn loads_slowly<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let options = PyDict::new(py);
    // NaN and Infinity are not JSON; no integer looks like that, so this fails on them.
    options.set_item("parse_constant", py.get_type::<PyInt>())?;
    py.import("json")?
        .call_method("loads", (text,), Some(&options))
        .map_err(|error| {
            if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                return error;
            }
            errors::protocol(py, "a message that is not JSON".to_owned())
        })
}
