//! JSON text to Python objects and back.

use std::fmt;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::errors;

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
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Value { py }.deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        // Numbers beyond 64 bits, and half surrogates: Python's own reader knows them.
        Err(_) => loads_slowly(py, text),
    }
}

fn loads_slowly<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?
        .call_method1("loads", (text,))
        .map_err(|error| {
            if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                return error;
            }
            errors::protocol(py, "a message that is not JSON".to_owned())
        })
}

#[derive(Clone, Copy)]
struct Value<'py> {
    py: Python<'py>,
}

impl<'de, 'py> DeserializeSeed<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

/// From here on (and for "-0") serde may have made a double of an integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<'de, 'py> Visitor<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.py, value).to_owned().into_any())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.into_any())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.into_any())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.abs() >= EXACT || (value == 0.0 && value.is_sign_negative()) {
            return Err(E::custom("perhaps an integer"));
        }
        Ok(PyFloat::new(self.py, value).into_any())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        while let Some(item) = items.next_element_seed(self)? {
            list.append(item).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        while let Some(key) = fields.next_key_seed(self)? {
            let value = fields.next_value_seed(self)?;
            dict.set_item(key, value).map_err(A::Error::custom)?;
        }
        Ok(dict.into_any())
    }
}
