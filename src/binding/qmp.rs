//! `QmpConnection`: Ganeti's names of both generations over [`crate::qmp::Connection`].

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyString, PyTuple};

use super::command::{command_name, is_debugging, read_return, write_arguments};
use super::errors;
use super::event::QmpEvent;
use super::events::{QmpEvents, event_names};
use super::json;
use super::listed::Listed;
use super::message::QmpMessage;
use super::wait::{default_timeout, timeout, without_gil};
use crate::qmp::codec::DEFAULT_LIMIT;
use crate::qmp::message::{Kind, Message};
use crate::qmp::{Call, Connection, secrets};

/// A connection to a guest's QMP monitor.
///
/// Every call has one deadline for all that it does: `timeout` seconds, else the connection's,
/// else the environment's `GANETI_HV_KVM_QMP_TIMEOUT`, else 5. Errors are of the `HypervisorError`
/// family; after one that says time-out, lost or protocol the connection must be connected anew.
/// Threads may share it: they take turns.
#[pyclass(frozen, subclass, module = "ganeti_hv_kvm._native", weakref)]
pub(crate) struct QmpConnection {
    pub(super) connection: Connection,
    /// The bits of a float: seconds.
    timeout: AtomicU64,
}

impl QmpConnection {
    pub(super) fn limit(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Duration> {
        timeout(py, seconds.unwrap_or_else(|| self.timeout()))
    }

    /// The oldest event that fits, or None in time.
    pub(super) fn next_event(
        &self,
        py: Python<'_>,
        names: Option<&[String]>,
        device: Option<&str>,
        limit: Duration,
    ) -> PyResult<Option<QmpEvent>> {
        let message = without_gil(py, limit, |wait| {
            self.connection.wait_for_event(names, device, wait)
        })?;
        match message.as_ref().map(|message| (message, &message.kind)) {
            Some((message, Kind::Event(event))) => QmpEvent::received(py, message, event).map(Some),
            _ => Ok(None),
        }
    }

    /// The value of a reply. Who sends one that cannot be read is not asked again.
    fn read_return<'py>(&self, py: Python<'py>, reply: &Message) -> PyResult<Bound<'py, PyAny>> {
        let read = read_return(py, &self.connection, reply);
        read.inspect_err(|_| py.detach(|| self.connection.close()))
    }
}

#[pymethods]
impl QmpConnection {
    #[classattr]
    #[pyo3(name = "_QMP_TIMEOUT")]
    const QMP_TIMEOUT: f64 = 5.0;
    #[classattr]
    #[pyo3(name = "_SOCKET_TIMEOUT")]
    const SOCKET_TIMEOUT: f64 = 5.0;
    #[classattr]
    #[pyo3(name = "_FIRST_MESSAGE_KEY")]
    const FIRST_MESSAGE_KEY: &str = "QMP";
    #[classattr]
    #[pyo3(name = "_EVENT_KEY")]
    const EVENT_KEY: &str = "event";
    #[classattr]
    #[pyo3(name = "_ERROR_KEY")]
    const ERROR_KEY: &str = "error";
    #[classattr]
    #[pyo3(name = "_RETURN_KEY")]
    const RETURN_KEY: &str = "return";
    #[classattr]
    #[pyo3(name = "_ACTUAL_KEY")]
    const OLD_ACTUAL_KEY: &str = "actual";
    #[classattr]
    #[pyo3(name = "ACTUAL_KEY")]
    const ACTUAL_KEY: &str = "actual";
    #[classattr]
    #[pyo3(name = "_ERROR_CLASS_KEY")]
    const ERROR_CLASS_KEY: &str = "class";
    #[classattr]
    #[pyo3(name = "_ERROR_DESC_KEY")]
    const ERROR_DESC_KEY: &str = "desc";
    #[classattr]
    #[pyo3(name = "_EXECUTE_KEY")]
    const EXECUTE_KEY: &str = "execute";
    #[classattr]
    #[pyo3(name = "_ARGUMENTS_KEY")]
    const ARGUMENTS_KEY: &str = "arguments";
    #[classattr]
    #[pyo3(name = "_VERSION_KEY")]
    const VERSION_KEY: &str = "version";
    #[classattr]
    #[pyo3(name = "_PACKAGE_KEY")]
    const PACKAGE_KEY: &str = "package";
    #[classattr]
    #[pyo3(name = "_QEMU_KEY")]
    const QEMU_KEY: &str = "qemu";
    #[classattr]
    #[pyo3(name = "_CAPABILITIES_COMMAND")]
    const CAPABILITIES_COMMAND: &str = "qmp_capabilities";
    #[classattr]
    #[pyo3(name = "_QUERY_COMMANDS")]
    const QUERY_COMMANDS: &str = "query-commands";
    #[classattr]
    #[pyo3(name = "_MESSAGE_END_TOKEN")]
    fn message_end_token() -> &'static [u8] {
        b"\r\n"
    }
    #[classattr]
    #[pyo3(name = "_SEND_END_TOKEN")]
    fn send_end_token() -> &'static [u8] {
        b"\n"
    }

    #[new]
    #[pyo3(signature = (monitor_filename, timeout = None, *, max_message_size = None))]
    fn new(
        py: Python<'_>,
        monitor_filename: PathBuf,
        timeout: Option<f64>,
        max_message_size: Option<usize>,
    ) -> PyResult<Self> {
        let limit = match timeout {
            Some(seconds) => super::wait::timeout(py, seconds)?,
            None => default_timeout(py)?,
        };
        let size = max_message_size.unwrap_or(DEFAULT_LIMIT);
        Ok(Self {
            connection: Connection::new(monitor_filename, size),
            timeout: AtomicU64::new(limit.as_secs_f64().to_bits()),
        })
    }

    /// The monitor's socket.
    #[getter]
    fn monitor_filename(&self) -> OsString {
        self.connection.path().as_os_str().to_owned()
    }

    /// The monitor's socket, by its newer name.
    #[getter]
    fn socket_path(&self) -> OsString {
        self.monitor_filename()
    }

    /// Seconds that a call may take where it says nothing else.
    #[getter]
    fn timeout(&self) -> f64 {
        f64::from_bits(self.timeout.load(Ordering::Relaxed))
    }

    #[setter]
    fn set_timeout(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        timeout(py, seconds)?;
        self.timeout.store(seconds.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// QEMU's version, as it greeted last.
    #[getter]
    fn version(&self) -> Option<(i64, i64, i64)> {
        self.connection.info().version
    }

    /// The distributor's package, as QEMU greeted last; often empty.
    #[getter]
    fn package(&self) -> Option<String> {
        self.connection.info().package
    }

    /// The names of the commands that QEMU knows, or None if it was not asked.
    #[getter]
    fn supported_commands<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, PyFrozenSet>>> {
        let commands = self.connection.info().commands;
        commands
            .map(|commands| PyFrozenSet::new(py, commands.iter()))
            .transpose()
    }

    /// The process that listens on the monitor, if it can be told.
    #[getter]
    fn peer_pid(&self) -> Option<i32> {
        self.connection.info().peer_pid
    }

    /// How many events were dropped because nobody took them in time.
    #[getter]
    fn lost_events(&self) -> u64 {
        self.connection.info().lost_events
    }

    /// Connects, unless connected; `discover` asks for the list of commands as well.
    #[pyo3(signature = (*, timeout = None, discover = true))]
    fn connect(&self, py: Python<'_>, timeout: Option<f64>, discover: bool) -> PyResult<()> {
        let limit = self.limit(py, timeout)?;
        without_gil(py, limit, |wait| self.connection.connect(discover, wait))
    }

    /// Ends the connection, and with an error any call that another thread has under way.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.connection.close());
    }

    /// Whether there is a connection; that it still works shows only in its use.
    fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.call_method0("connect")?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (exc_type, exc_value, tb))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, tb);
        slf.call_method0("close").map(drop)
    }

    /// Executes a command and gives the value of QEMU's "return".
    ///
    /// `fds` are passed to QEMU with the command. `QmpRefusedError` if QEMU says no.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts values")]
    #[pyo3(signature = (command, arguments = None, *, timeout = None, fds = Listed(Vec::new())),
        text_signature = "($self, command, arguments=None, *, timeout=None, fds=())")]
    fn execute_qmp<'py>(
        slf: &Bound<'py, Self>,
        command: &Bound<'py, PyString>,
        arguments: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
        fds: Listed<RawFd>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let limit = this.limit(py, timeout)?;
        let name = command_name(command)?;
        let text = write_arguments(py, &name, arguments)?;
        let call = Call {
            command: &name,
            arguments: text.as_deref(),
            fds: &fds.0,
        };
        let reply = without_gil(py, limit, |wait| this.connection.execute(call, wait))?;
        let value = this.read_return(py, &reply)?;
        if is_debugging(py)? {
            let shown = text.as_deref().map(secrets::masked).unwrap_or_default();
            slf.call_method1("_log_command", (command, shown, &value))?;
        }
        Ok(value)
    }

    /// Told of each command that was carried out, while the root logger takes debug messages.
    ///
    /// `arguments` is JSON text in which secrets are `***`, empty where there are none.
    #[expect(
        clippy::unused_self,
        reason = "it is a method for subclasses to override"
    )]
    fn _log_command(
        &self,
        command: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyAny>,
        result: &Bound<'_, PyAny>,
    ) {
        let _ = (command, arguments, result);
    }

    /// `execute_qmp` by its older name; a subclass's own `execute_qmp` is used.
    #[pyo3(name = "Execute", signature = (command, arguments = None, *, timeout = None, fds = None),
        text_signature = "($self, command, arguments=None, *, timeout=None, fds=())")]
    fn execute<'py>(
        slf: &Bound<'py, Self>,
        command: &Bound<'py, PyString>,
        arguments: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
        fds: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = PyDict::new(slf.py());
        if let Some(timeout) = timeout {
            options.set_item("timeout", timeout)?;
        }
        if let Some(fds) = fds {
            options.set_item("fds", fds)?;
        }
        let positional = PyTuple::new(slf.py(), [Some(command.as_any()), arguments])?;
        slf.call_method("execute_qmp", positional, Some(&options))
    }

    /// Sends a message as it is; a command without an id gets one.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts values")]
    #[pyo3(signature = (message, *, timeout = None, fds = Listed(Vec::new())),
        text_signature = "($self, message, *, timeout=None, fds=())")]
    fn send_qmp(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        fds: Listed<RawFd>,
    ) -> PyResult<()> {
        let limit = self.limit(py, timeout)?;
        let text = json::dumps(QmpMessage::data_of(message)?.as_any(), json::Style::Wire)?;
        let text = text.to_cow()?.into_owned();
        without_gil(py, limit, |wait| self.connection.send(&text, &fds.0, wait))
    }

    /// The next message, whatever it is; what was kept comes first. `QmpTimeoutError` if none
    /// comes in time: then the connection is as good as before.
    #[pyo3(signature = (*, timeout = None))]
    fn recv_qmp(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<QmpMessage> {
        let limit = self.limit(py, timeout)?;
        let message = without_gil(py, limit, |wait| self.connection.receive(wait))?;
        QmpMessage::received(py, &message)
    }

    /// The value of "return" of the oldest command sent by `send_qmp` and not answered yet.
    #[pyo3(signature = (command, *, timeout = None))]
    fn get_qmp_response<'py>(
        &self,
        py: Python<'py>,
        command: &str,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limit = self.limit(py, timeout)?;
        let reply = without_gil(py, limit, |wait| self.connection.response(command, wait))?;
        self.read_return(py, &reply)
    }

    /// The oldest event of these types, about `device` if given (its id or its path), that was
    /// not taken yet, also from before this call; None if none comes within `timeout` seconds.
    #[pyo3(signature = (event_types, timeout, *, device = None))]
    fn wait_for_qmp_event(
        &self,
        py: Python<'_>,
        event_types: &Bound<'_, PyAny>,
        timeout: f64,
        device: Option<&str>,
    ) -> PyResult<Option<QmpEvent>> {
        let names = event_names(event_types)?;
        // Zero is a wait as well: for what has come already.
        let limit = if timeout == 0.0 {
            Duration::ZERO
        } else {
            super::wait::timeout(py, timeout)?
        };
        self.next_event(py, Some(&names), device, limit)
    }

    /// Iterates over events: those of these types (None: all), about `device` if given. It ends
    /// when none came within `timeout` seconds of all; without it, when an error does.
    #[pyo3(signature = (names = None, device = None, timeout = None))]
    fn events(
        slf: &Bound<'_, Self>,
        names: Option<&Bound<'_, PyAny>>,
        device: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<QmpEvents> {
        QmpEvents::over(slf, names, device, timeout)
    }

    /// The socket's descriptor, to wait for with `select` and its like; it stays the connection's.
    /// What came with a reply is kept already: ask `wait_for_qmp_event(..., 0)` before each wait.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        let fd = self.connection.fd();
        fd.map_err(|error| errors::from_qmp(py, &error))
    }

    fn __repr__(&self) -> String {
        let state = if self.is_connected() {
            "connected"
        } else {
            "not connected"
        };
        let path = self.connection.path().display().to_string();
        format!("<QmpConnection {path:?}, {state}>")
    }
}
