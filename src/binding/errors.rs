//! The core's errors as `ganeti_hv_kvm.errors` classes.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::qmp::{ErrorKind, QmpError};
use crate::tap::TapError;

/// The module of the classes. It imports Ganeti's errors where there are any.
const MODULE: &str = "ganeti_hv_kvm.errors";

static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Imports them; the module's own import calls it, so that no fork catches it half made.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    classes(py).map(drop)
}

fn classes(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    let module = CLASSES.get_or_try_init(py, || py.import(MODULE).map(Bound::unbind))?;
    Ok(module.bind(py))
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(classes(py)?.getattr(name)?.cast_into::<PyType>()?)
}

fn new(py: Python<'_>, name: &str, text: String, attributes: &[(&str, Bound<'_, PyAny>)]) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let value = class(py, name)?.call1((text,))?;
        for (attribute, content) in attributes {
            value.setattr(*attribute, content)?;
        }
        Ok(PyErr::from_value(value))
    };
    build().unwrap_or_else(|error| error)
}

/// The class of `ganeti_hv_kvm.errors` that stands for an error of the core.
fn class_name(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Connect { .. } => "QmpConnectError",
        ErrorKind::Handshake { .. } => "QmpHandshakeError",
        ErrorKind::NotSupported { .. } => "QmpCommandNotSupported",
        ErrorKind::Refused { .. } => "QmpRefusedError",
        ErrorKind::TimedOut { .. } | ErrorKind::NoTurn { .. } | ErrorKind::NothingCame { .. } => {
            "QmpTimeoutError"
        }
        ErrorKind::Lost { .. } => "QmpLostError",
        ErrorKind::Protocol { .. } => "QmpProtocolError",
        ErrorKind::NotConnected | ErrorKind::OtherProcess { .. } => "QmpNotConnectedError",
        ErrorKind::Usage { .. } | ErrorKind::Interrupted => "QmpError",
    }
}

/// A QMP error for Python.
pub(crate) fn from_qmp(py: Python<'_>, error: &QmpError) -> PyErr {
    let text = error.to_string();
    let name = class_name(&error.kind);
    let seconds = error.kind.limit().map(|limit| limit.as_secs_f64());
    let told = [
        ("socket_path", attribute(py, error.path.as_str())),
        ("command", attribute(py, error.command.as_deref())),
        ("seconds", attribute(py, seconds)),
        ("sent", attribute(py, error.sent)),
        ("peer_pid", attribute(py, error.kind.peer().pid())),
        ("peer_state", attribute(py, error.kind.peer().word())),
    ];
    let mut attributes = Vec::with_capacity(told.len() + 2);
    for (name, value) in told {
        match value {
            Ok(value) => attributes.push((name, value)),
            Err(error) => return error,
        }
    }
    if let ErrorKind::Refused { class, desc, .. } = &error.kind {
        for (name, value) in [("error_class", class), ("desc", desc)] {
            match attribute(py, value.as_str()) {
                Ok(value) => attributes.push((name, value)),
                Err(error) => return error,
            }
        }
    }
    new(py, name, text, &attributes)
}

fn attribute<'py>(
    py: Python<'py>,
    value: impl IntoPyObjectExt<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    value.into_bound_py_any(py)
}

/// A TAP error for Python.
pub(crate) fn from_tap(py: Python<'_>, error: &TapError) -> PyErr {
    let errno = match error.errno() {
        Some(errno) => {
            let Ok(errno) = errno.into_pyobject(py);
            errno.into_any()
        }
        None => py.None().into_bound(py),
    };
    new(py, "TapError", error.to_string(), &[("errno", errno)])
}

/// It cannot be told whether a process is there.
pub(crate) fn process_unknown(py: Python<'_>, text: String) -> PyErr {
    new(py, "ProcessUnknownError", text, &[])
}

/// An error that the binding itself finds.
pub(crate) fn protocol(py: Python<'_>, text: String) -> PyErr {
    new(py, "QmpProtocolError", text, &[])
}

/// A wrong argument: nothing was done.
pub(crate) fn usage(py: Python<'_>, text: String) -> PyErr {
    new(py, "QmpError", text, &[])
}

/// A wrong argument of a TAP call: nothing was done.
pub(crate) fn tap_usage(py: Python<'_>, text: String) -> PyErr {
    new(py, "TapError", text, &[])
}
