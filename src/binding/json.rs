//! JSON text to Python objects and back.

mod reader;

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};

use super::errors;
use crate::qmp::codec::DEFAULT_LIMIT;
use crate::qmp::message::{MAX_DEPTH, max_values};
use crate::qmp::outgoing;
pub(crate) use reader::Bounds;
use reader::{Stop, known_names};

/// How JSON is written.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// As Python's own `json.dumps` does, and so Ganeti's files and logs.
    Readable,
    /// Without a blank: QEMU reads commands byte by byte.
    Wire,
}

/// What is made of Python's `json`, once, when the module is imported.
struct Json {
    readable: Py<PyAny>,
    wire: Py<PyAny>,
    /// Python's own reader, for what is rare.
    decode: Py<PyAny>,
}

static JSON: PyOnceLock<Json> = PyOnceLock::new();

/// Makes what is made once; the module's import calls it, so that no fork catches it half made.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    json(py)?;
    known_names(py);
    Ok(())
}

fn json(py: Python<'_>) -> PyResult<&Json> {
    JSON.get_or_try_init(py, || {
        let module = py.import("json")?;
        let encoder = |separators: (&str, &str)| -> PyResult<Py<PyAny>> {
            let options = PyDict::new(py);
            options.set_item("allow_nan", false)?;
            options.set_item("separators", separators)?;
            let encoder = module.getattr("JSONEncoder")?.call((), Some(&options))?;
            Ok(encoder.getattr("encode")?.unbind())
        };
        let options = PyDict::new(py);
        // NaN and Infinity are not JSON; no integer looks like that, so this fails on them.
        options.set_item("parse_constant", py.get_type::<PyInt>())?;
        options.set_item("parse_float", pyo3::wrap_pyfunction!(finite_float, py)?)?;
        options.set_item("parse_int", pyo3::wrap_pyfunction!(bounded_int, py)?)?;
        let decoder = module.getattr("JSONDecoder")?.call((), Some(&options))?;
        Ok(Json {
            readable: encoder((", ", ": "))?,
            wire: encoder((",", ":"))?,
            decode: decoder.getattr("decode")?.unbind(),
        })
    })
}

/// A JSON number as a float, unless it is beyond all floats.
#[pyfunction]
fn finite_float<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyFloat>> {
    let value: f64 = text.to_cow()?.parse().unwrap_or(f64::NAN);
    if value.is_finite() {
        return Ok(PyFloat::new(text.py(), value));
    }
    Err(PyValueError::new_err("a number beyond all bounds"))
}

/// A JSON number as an integer: of at most 4300 digits, because the time for it grows with their
/// square (Python 3.11 and later refuse more by themselves).
#[pyfunction]
fn bounded_int<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    if text.len()? > 4301 {
        return Err(PyValueError::new_err("an integer of more than 4300 digits"));
    }
    text.py().get_type::<PyInt>().call1((text,))
}

/// A Python object as a single line of JSON.
///
/// The error says nothing of the content: it may hold a secret.
pub(crate) fn dumps<'py>(
    value: &Bound<'py, PyAny>,
    style: Style,
) -> PyResult<Bound<'py, PyString>> {
    let py = value.py();
    let json = json(py)?;
    let encode = match style {
        Style::Readable => &json.readable,
        Style::Wire => &json.wire,
    };
    let text = encode.bind(py).call1((value,)).map_err(|error| {
        if !error.is_instance_of::<PyException>(py) {
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

/// JSON text as Python objects, of a message that was within its limit.
pub(crate) fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let bounds = Bounds::new(max_values(DEFAULT_LIMIT.max(text.len())));
    loads_within(py, text, &bounds).map_err(|error| match error {
        Unreadable::Text(why) => errors::protocol(py, format!("a message {why}")),
        Unreadable::Python(error) => *error,
    })
}

/// Why a text was not read.
pub(crate) enum Unreadable {
    /// What is wrong with it, as words behind "a message".
    Text(String),
    /// Something else failed, or a signal handler raised.
    Python(Box<PyErr>),
}

/// The same, where the caller says how many values there may be, and words the error.
pub(crate) fn loads_within<'py>(
    py: Python<'py>,
    text: &str,
    bounds: &Bounds,
) -> Result<Bound<'py, PyAny>, Unreadable> {
    match reader::read(py, text, bounds) {
        Ok(value) => Ok(value),
        Err(Stop::TooDeep) => Err(Unreadable::Text(format!(
            "with more than {MAX_DEPTH} lists and objects in each other"
        ))),
        Err(Stop::TooMany) => Err(Unreadable::Text(format!(
            "with more than {} values",
            bounds.most()
        ))),
        Err(Stop::Python(error)) => Err(Unreadable::Python(error)),
        Err(Stop::NotMine) => read_slowly(py, text, bounds),
    }
}

/// With Python's own reader: integers of any size, halves of surrogate pairs; or the proof that it
/// is no JSON.
fn read_slowly<'py>(
    py: Python<'py>,
    text: &str,
    bounds: &Bounds,
) -> Result<Bound<'py, PyAny>, Unreadable> {
    let bounded = outgoing::count(text, MAX_DEPTH);
    if bounded.is_none_or(|tokens| tokens > 2 * bounds.most()) {
        let why = format!(
            "with more than {MAX_DEPTH} lists and objects in each other, or more than {} values",
            bounds.most()
        );
        return Err(Unreadable::Text(why));
    }
    let decode = json(py).map_err(|error| Unreadable::Python(Box::new(error)))?;
    decode.decode.bind(py).call1((text,)).map_err(|error| {
        let is_too_large = error.is_instance_of::<PyValueError>(py)
            && error.value(py).to_string().contains("digits");
        if is_too_large {
            Unreadable::Text("with an integer of more than 4300 digits".to_owned())
        } else if error.is_instance_of::<PyException>(py) {
            Unreadable::Text("that is not JSON".to_owned())
        } else {
            Unreadable::Python(Box::new(error))
        }
    })
}
