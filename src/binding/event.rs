//! `QmpEvent` and `QmpTimestamp`.

use pyo3::exceptions::PyOverflowError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMapping};

use super::{errors, json};
use crate::qmp::foreign_text::printable;
use crate::qmp::message::{Event, Message};

static TIMESTAMP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The named tuple `QmpTimestamp(seconds, microseconds)`.
pub(crate) fn timestamp_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let class = TIMESTAMP.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item("module", "ganeti_hv_kvm._native")?;
        py.import("collections")?
            .getattr("namedtuple")?
            .call(
                ("QmpTimestamp", ("seconds", "microseconds")),
                Some(&options),
            )
            .map(Bound::unbind)
    })?;
    Ok(class.bind(py).clone())
}

/// Something that happened in QEMU.
#[pyclass(frozen, module = "ganeti_hv_kvm._native")]
pub(crate) struct QmpEvent {
    timestamp: Py<PyAny>,
    event_type: String,
    data: Py<PyDict>,
}

impl QmpEvent {
    /// An event that came from a monitor; without data it has an empty dictionary.
    pub(crate) fn received(py: Python<'_>, message: &Message, event: &Event) -> PyResult<Self> {
        let data = match message.payload() {
            Some(text) => json::loads(py, text)?
                .cast_into::<PyDict>()
                .map_err(|_| errors::protocol(py, "an event whose data is no object".to_owned()))?,
            None => PyDict::new(py),
        };
        let timestamp = timestamp_type(py)?.call1((event.seconds, event.microseconds))?;
        Ok(Self {
            timestamp: timestamp.unbind(),
            event_type: event.name.clone(),
            data: data.unbind(),
        })
    }
}

#[pymethods]
impl QmpEvent {
    #[new]
    #[pyo3(signature = (timestamp, event_type, data))]
    fn new(
        py: Python<'_>,
        timestamp: Py<PyAny>,
        event_type: String,
        data: Option<Py<PyDict>>,
    ) -> Self {
        Self {
            timestamp,
            event_type,
            data: data.unwrap_or_else(|| PyDict::new(py).unbind()),
        }
    }

    /// When it happened, by QEMU's clock.
    #[getter]
    fn timestamp(&self, py: Python<'_>) -> Py<PyAny> {
        self.timestamp.clone_ref(py)
    }

    /// The same as an aware `datetime` in UTC; None for a time that no calendar has.
    #[getter]
    fn datetime<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (seconds, microseconds): (i64, i64) = self.timestamp.extract(py)?;
        let module = py.import("datetime")?;
        let since = PyDict::new(py);
        since.set_item("seconds", seconds)?;
        since.set_item("microseconds", microseconds)?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let epoch = module
            .getattr("datetime")?
            .call_method1("fromtimestamp", (0, utc))?;
        let time = module
            .getattr("timedelta")?
            .call((), Some(&since))
            .and_then(|since| epoch.add(since));
        match time {
            Ok(time) => Ok(Some(time)),
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its name, such as `DEVICE_DELETED`.
    #[getter]
    fn event_type(&self) -> &str {
        &self.event_type
    }

    /// What QEMU says of it.
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

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let timestamp = self.timestamp.bind(py).repr()?;
        let name = printable(&self.event_type);
        Ok(format!("<QmpEvent {name} at {timestamp}>"))
    }

    /// The event that a received message's `data` describes.
    #[staticmethod]
    fn build_from_data(py: Python<'_>, data: &Bound<'_, PyMapping>) -> PyResult<Self> {
        let build = || -> PyResult<Self> {
            let stamp = data.get_item("timestamp")?;
            let stamp = (stamp.get_item("seconds")?, stamp.get_item("microseconds")?);
            let content = if data.contains("data")? {
                Some(data.get_item("data")?.extract()?)
            } else {
                None
            };
            let timestamp = timestamp_type(py)?.call1(stamp)?.unbind();
            let event_type = data.get_item("event")?.extract()?;
            Ok(Self::new(py, timestamp, event_type, content))
        };
        build().map_err(|_| {
            let why = "an event without the name, timestamp or data that events have";
            errors::protocol(py, why.to_owned())
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.timestamp)?;
        visit.call(&self.data)
    }
}
