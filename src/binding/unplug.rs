//! Taking devices out of a running guest, for Python.

use std::time::Duration;

use pyo3::prelude::*;

use super::qmp::QmpConnection;
use super::wait::{timeout, without_gil};
use crate::qmp::unplug::{Closing, Release};

/// The time that whoever is asked has, and with it that of the whole call: QEMU has its own.
fn limits(connection: &Bound<'_, QmpConnection>, seconds: f64) -> PyResult<(Duration, Duration)> {
    let patience = timeout(connection.py(), seconds)?;
    let own = connection.get().limit(connection.py(), None)?;
    Ok((patience, patience.saturating_add(own)))
}

/// Asks the guest to release a device: what became of it, and QEMU's words if it did not ask.
#[pyfunction]
pub(super) fn release_device(
    connection: &Bound<'_, QmpConnection>,
    device: &str,
    seconds: f64,
) -> PyResult<(&'static str, Option<String>)> {
    let (patience, limit) = limits(connection, seconds)?;
    let this = &connection.get().connection;
    let released = without_gil(connection.py(), limit, |wait| {
        this.release_device(device, patience, wait)
    })?;
    Ok(match released {
        Release::Released => ("released", None),
        Release::RefusedByGuest => ("refused", None),
        Release::Silent => ("silent", None),
        Release::NotAsked(why) => ("not asked", Some(why)),
    })
}

/// Closes the storage of a disk whose device has gone: what became of it, and who holds it if so.
#[pyfunction]
pub(super) fn close_storage(
    connection: &Bound<'_, QmpConnection>,
    disk: &str,
    seconds: f64,
) -> PyResult<(&'static str, Option<String>)> {
    let (patience, limit) = limits(connection, seconds)?;
    let this = &connection.get().connection;
    let closed = without_gil(connection.py(), limit, |wait| {
        this.close_storage(disk, patience, wait)
    })?;
    Ok(match closed {
        Closing::Closed => ("closed", None),
        Closing::InUse => ("in use", None),
        Closing::Held(why) => ("held", Some(why)),
    })
}
