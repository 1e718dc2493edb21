//! The Python face of the core: `ganeti_hv_kvm._native`.
//!
//! Nothing is decided here; arguments go down, results and errors come up, and the GIL is
//! released for as long as the core may wait.

mod command;
mod errors;
mod event;
mod events;
mod fleet;
mod json;
mod listed;
mod message;
mod process;
mod qmp;
mod tap;
mod unplug;
mod wait;

use pyo3::prelude::*;

/// TAP devices and QMP in Rust; see the public names in `ganeti_hv_kvm`.
#[pymodule]
#[pyo3(name = "_native")]
mod native {
    #[pymodule_export]
    use super::command::mask_secrets;
    #[pymodule_export]
    use super::event::QmpEvent;
    #[pymodule_export]
    use super::events::QmpEvents;
    #[pymodule_export]
    use super::fleet::{FleetAnswer, query_fleet};
    #[pymodule_export]
    use super::message::QmpMessage;
    #[pymodule_export]
    use super::process::{
        end_process, find_process, find_processes, process_condition, process_values,
        wait_for_process,
    };
    #[pymodule_export]
    use super::qmp::QmpConnection;
    #[pymodule_export]
    use super::tap::{get_tun_features, open_one_tap, open_tap, probe_mq, probe_vnet_hdr};
    #[pymodule_export]
    use super::unplug::{close_storage, release_device};

    use super::{Bound, PyModule, PyModuleMethods, PyResult, command, errors, event, json};
    use crate::tap;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // What is made once is made now, under Python's import lock: a fork in the moment of some
        // thread's first call would leave the child one that nobody ever finishes.
        errors::prepare(module.py())?;
        json::prepare(module.py())?;
        command::prepare(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("QmpTimestamp", event::timestamp_type(module.py())?)?;
        for (name, value) in [
            ("TUNSETIFF", tap::TUNSETIFF),
            ("TUNGETIFF", tap::TUNGETIFF),
            ("TUNGETFEATURES", tap::TUNGETFEATURES),
            ("IFF_TAP", tap::IFF_TAP),
            ("IFF_NO_PI", tap::IFF_NO_PI),
            ("IFF_ONE_QUEUE", tap::IFF_ONE_QUEUE),
            ("IFF_VNET_HDR", tap::IFF_VNET_HDR),
            ("IFF_MULTI_QUEUE", tap::IFF_MULTI_QUEUE),
        ] {
            module.add(name, value)?;
        }
        Ok(())
    }
}
