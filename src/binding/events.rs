//! `QmpEvents`: an iterator over what happens.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::event::QmpEvent;
use super::qmp::QmpConnection;

/// So long one wait of an iteration without end takes the connection: other threads' calls come
/// to their turn in between.
const TURN: Duration = Duration::from_millis(200);

/// What `QmpConnection.events` gives.
#[pyclass(frozen, module = "ganeti_hv_kvm._native")]
pub(crate) struct QmpEvents {
    connection: Py<QmpConnection>,
    /// None: any.
    names: Option<Vec<String>>,
    device: Option<String>,
    /// None: no end, or one that no clock reaches.
    until: Option<Instant>,
}

/// The names of one event or of several. What no text over the wire can say never comes.
pub(super) fn event_names(names: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let name = |name: &Bound<'_, PyString>| name.to_string_lossy().into_owned();
    if let Ok(one) = names.cast::<PyString>() {
        return Ok(vec![name(one)]);
    }
    names
        .try_iter()?
        .map(|one| Ok(name(one?.cast::<PyString>()?)))
        .collect()
}

impl QmpEvents {
    pub(super) fn over(
        connection: &Bound<'_, QmpConnection>,
        names: Option<&Bound<'_, PyAny>>,
        device: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let py = connection.py();
        let limit = match timeout {
            Some(0.0) => Some(Duration::ZERO),
            Some(seconds) => Some(super::wait::timeout(py, seconds)?),
            None => None,
        };
        Ok(Self {
            connection: connection.clone().unbind(),
            names: names.map(event_names).transpose()?,
            device,
            until: limit.and_then(|limit| Instant::now().checked_add(limit)),
        })
    }
}

#[pymethods]
impl QmpEvents {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<QmpEvent>> {
        let names = self.names.as_deref();
        if names.is_some_and(<[String]>::is_empty) {
            return Ok(None);
        }
        let device = self.device.as_deref();
        let connection = self.connection.get();
        loop {
            let left = self
                .until
                .map(|until| until.saturating_duration_since(Instant::now()));
            let turn = left.unwrap_or(TURN).min(TURN);
            let event = connection.next_event(py, names, device, turn)?;
            if event.is_some() || left.is_some_and(|left| left <= turn) {
                return Ok(event);
            }
        }
    }
}
