//! `OpenTap` and its probes.

use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMapping};

use super::errors;
use crate::qmp::foreign_text::quoted;
use crate::tap::{self, IFF_MULTI_QUEUE, IFF_VNET_HDR, Request, TUNGETFEATURES, Tap};

const VHOST_NET: &str = "/dev/vhost-net";

/// Says something through Python's logging, never on the error channel.
fn warn(py: Python<'_>, text: String) -> PyResult<()> {
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("ganeti_hv_kvm.tap",))?;
    logger.call_method1("warning", ("%s", text)).map(drop)
}

fn open(py: Python<'_>, request: &Request) -> PyResult<Tap> {
    let tap = py
        .detach(|| tap::open(request))
        .map_err(|error| errors::from_tap(py, &error))?;
    if request.vnet_hdr && !tap.vnet_hdr {
        warn(
            py,
            format!(
                "{} goes without virtio-net headers: not in this kernel",
                tap.name
            ),
        )?;
    }
    Ok(tap)
}

fn raw(fds: Vec<OwnedFd>) -> Vec<RawFd> {
    fds.into_iter().map(IntoRawFd::into_raw_fd).collect()
}

/// Opens a TAP interface with one queue: its name and its descriptor, which is the caller's.
#[pyfunction]
#[pyo3(name = "_OpenTap", signature = (vnet_hdr = true))]
pub(crate) fn open_one_tap(py: Python<'_>, vnet_hdr: bool) -> PyResult<(String, RawFd)> {
    let request = Request {
        vnet_hdr,
        ..Request::default()
    };
    let tap = open(py, &request)?;
    let mut fds = raw(tap.tap_fds);
    match fds.pop() {
        Some(fd) => Ok((tap.name, fd)),
        None => Err(errors::tap_usage(py, "no queue was opened".to_owned())),
    }
}

/// Opens a TAP interface: its name, and one tap and one vhost-net descriptor a queue.
///
/// `features` has the keys vhost (bool), `vnet_hdr` (bool) and mq (a pair: whether, queues). On
/// failure (`TapError`) nothing is left; else the descriptors, all close-on-exec, are the caller's.
#[pyfunction]
#[pyo3(name = "OpenTap", signature = (name = String::new(), features = None), text_signature = "(name='', features=None)")]
pub(crate) fn open_tap(
    py: Python<'_>,
    name: String,
    features: Option<&Bound<'_, PyMapping>>,
) -> PyResult<(String, Vec<RawFd>, Vec<RawFd>)> {
    let mut request = Request {
        name,
        ..Request::default()
    };
    if let Some(features) = features {
        read_features(features, &mut request).map_err(|error| {
            let why = "the features of a TAP interface are vhost, vnet_hdr and mq (a pair)";
            errors::tap_usage(py, format!("{why}: {error}"))
        })?;
    }
    let tap = open(py, &request)?;
    Ok((tap.name, raw(tap.tap_fds), raw(tap.vhost_fds)))
}

fn read_features(features: &Bound<'_, PyMapping>, request: &mut Request) -> PyResult<()> {
    for item in features.items()?.iter() {
        let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
        match name.as_str() {
            "vnet_hdr" => request.vnet_hdr = is_wanted(&name, &value)?,
            "vhost" => request.vhost = is_wanted(&name, &value)?.then(|| VHOST_NET.into()),
            "mq" => {
                let (_, queues): (bool, u32) = value.extract()?;
                request.queues = queues;
            }
            // The device's, in the same dictionary of Ganeti's.
            "driver" => {}
            _ => {
                let why = format!("there is no feature {}", quoted(&name));
                return Err(PyValueError::new_err(why));
            }
        }
    }
    Ok(())
}

/// A text such as "no" would be as true as any.
fn is_wanted(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract().map_err(|_| {
        let what = value.get_type().name();
        let what = what.map_or_else(|_| "something else".to_owned(), |name| name.to_string());
        PyValueError::new_err(format!("{name} must be True or False, and is a {what}"))
    })
}

/// The IFF flags that the kernel's TUN driver knows, or None if it does not say.
///
/// `_ioctl` stands in for `fcntl.ioctl`.
#[pyfunction]
#[expect(
    clippy::used_underscore_binding,
    reason = "Ganeti's name of the argument"
)]
#[pyo3(name = "_GetTunFeatures", signature = (fd, _ioctl = None))]
pub(crate) fn get_tun_features(
    py: Python<'_>,
    fd: RawFd,
    _ioctl: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<u32>> {
    let result = match _ioctl {
        Some(ioctl) => ask_python(ioctl, fd),
        None => tap::features(fd).map_err(|errno| {
            pyo3::exceptions::PyOSError::new_err((errno as i32, crate::errno::text(errno)))
        }),
    };
    match result {
        Ok(flags) => Ok(Some(flags)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => {
            let why = error.value(py).str()?;
            warn(
                py,
                format!("TUNGETFEATURES gives nothing for fd {fd}: {why}"),
            )?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn ask_python(ioctl: &Bound<'_, PyAny>, fd: RawFd) -> PyResult<u32> {
    let py = ioctl.py();
    let zero = PyBytes::new(py, &0_u32.to_ne_bytes());
    let answer: Vec<u8> = ioctl.call1((fd, TUNGETFEATURES, zero))?.extract()?;
    let answer: [u8; 4] = answer.try_into().map_err(|_| {
        pyo3::exceptions::PyOSError::new_err((Errno::EINVAL as i32, "no four bytes came back"))
    })?;
    Ok(u32::from_ne_bytes(answer))
}

fn probe(
    py: Python<'_>,
    fd: RawFd,
    features_fn: Option<&Bound<'_, PyAny>>,
    (flag, name): (u32, &str),
) -> PyResult<bool> {
    let flags: Option<u32> = match features_fn {
        Some(function) => function.call1((fd,))?.extract()?,
        None => get_tun_features(py, fd, None)?,
    };
    let Some(flags) = flags else {
        return Ok(false);
    };
    let has = flags & flag != 0;
    if !has {
        warn(
            py,
            format!("this kernel's TUN driver has no {name}: left out"),
        )?;
    }
    Ok(has)
}

/// Whether frames can carry a virtio-net header; `fd` is an open /dev/net/tun.
#[pyfunction]
#[expect(
    clippy::used_underscore_binding,
    reason = "Ganeti's name of the argument"
)]
#[pyo3(name = "_ProbeTapVnetHdr", signature = (fd, _features_fn = None))]
pub(crate) fn probe_vnet_hdr(
    py: Python<'_>,
    fd: RawFd,
    _features_fn: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    probe(py, fd, _features_fn, (IFF_VNET_HDR, "IFF_VNET_HDR"))
}

/// Whether an interface can have more than one queue; `fd` is an open /dev/net/tun.
#[pyfunction]
#[expect(
    clippy::used_underscore_binding,
    reason = "Ganeti's name of the argument"
)]
#[pyo3(name = "_ProbeTapMqVirtioNet", signature = (fd, _features_fn = None))]
pub(crate) fn probe_mq(
    py: Python<'_>,
    fd: RawFd,
    _features_fn: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    probe(py, fd, _features_fn, (IFF_MULTI_QUEUE, "IFF_MULTI_QUEUE"))
}
