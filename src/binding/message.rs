//! `QmpMessage`: a JSON object as Ganeti's callers know it.

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::{errors, json};
use crate::qmp::message::Message;

/// A message of the QEMU Machine Protocol: a JSON object whose missing keys read as None.
#[pyclass(frozen, module = "ganeti_hv_kvm._native")]
pub(crate) struct QmpMessage {
    data: Py<PyDict>,
}

impl QmpMessage {
    /// The message behind a Python argument; plain dictionaries will do as well.
    pub(crate) fn data_of<'py>(message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        if let Ok(message) = message.cast::<Self>() {
            return Ok(message.get().data.bind(message.py()).clone());
        }
        message
            .cast::<PyDict>()
            .cloned()
            .map_err(|_| PyTypeError::new_err("a QmpMessage is needed"))
    }

    /// A message that came from a monitor.
    pub(crate) fn received(py: Python<'_>, message: &Message) -> PyResult<Self> {
        Self::of(json::loads(py, message.text())?)
    }

    fn of(data: Bound<'_, PyAny>) -> PyResult<Self> {
        let py = data.py();
        let data = data
            .cast_into::<PyDict>()
            .map_err(|_| errors::protocol(py, "a message that is no JSON object".to_owned()))?;
        Ok(Self {
            data: data.unbind(),
        })
    }
}

#[pymethods]
impl QmpMessage {
    #[new]
    fn new(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let data = data
            .cast::<PyDict>()
            .map_err(|_| PyTypeError::new_err("a QmpMessage is made of a dict"))?;
        Ok(Self {
            data: data.clone().unbind(),
        })
    }

    /// The object itself, not a copy.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyDict> {
        self.data.clone_ref(py)
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        field_name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.data.bind(py).get_item(field_name)
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        field_name: &Bound<'_, PyAny>,
        field_value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.data.bind(py).set_item(field_name, field_value)
    }

    fn __delitem__(&self, py: Python<'_>, field_name: &Bound<'_, PyAny>) -> PyResult<()> {
        self.data.bind(py).del_item(field_name)
    }

    fn __contains__(&self, py: Python<'_>, field_name: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.data.bind(py).contains(field_name)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.bind(py).len()
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match Self::data_of(other) {
            Ok(other) => self.data.bind(py).eq(other),
            Err(_) => Ok(false),
        }
    }

    fn __str__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        json::dumps(self.data.bind(py).as_any(), json::Style::Readable)
    }

    /// Only the names of the fields: a value may be a password, and this is what logs show.
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let keys: Bound<'_, PyList> = self.data.bind(py).keys();
        Ok(format!("<QmpMessage with {}>", keys.repr()?))
    }

    /// The message as it goes over the wire: a single line of JSON and its end.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let text = json::dumps(self.data.bind(py).as_any(), json::Style::Readable)?;
        let mut bytes = text.to_cow()?.into_owned().into_bytes();
        bytes.push(b'\n');
        Ok(PyBytes::new(py, &bytes))
    }

    /// The message as a single line of JSON, without a line end.
    fn to_json_string<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.__str__(py)
    }

    /// The message that a line of JSON holds; `QmpProtocolError` if it holds none.
    #[staticmethod]
    fn build_from_json_string(json_string: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = json_string.py();
        let not_text = || errors::protocol(py, "a message that is not UTF-8".to_owned());
        let data = if let Ok(text) = json_string.cast::<PyString>() {
            json::loads(py, &text.to_cow().map_err(|_| not_text())?)?
        } else {
            let bytes = json_string.cast::<PyBytes>()?;
            let text = std::str::from_utf8(bytes.as_bytes()).map_err(|_| not_text())?;
            json::loads(py, text)?
        };
        Self::of(data)
    }

    /// `build_from_json_string` by its older name.
    #[staticmethod]
    #[pyo3(name = "BuildFromJsonString")]
    fn build_from_json_string_by_old_name(json_string: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::build_from_json_string(json_string)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.data)
    }
}
