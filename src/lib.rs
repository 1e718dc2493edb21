//! TAP devices and the QEMU Machine Protocol (QMP) for KVM guests.
//!
//! The core knows nothing of Python or Ganeti:
//!
//! * [`tap`] opens TAP interfaces: queues, virtio-net header, vhost; all or nothing.
//! * [`qmp`] speaks with a QEMU monitor: one absolute deadline per call, an id on every command,
//!   no event lost, linear in the size of what comes.
//!
//! With the feature `python` the crate is also the extension module `ganeti_hv_kvm._native`.

#[cfg(feature = "python")]
mod binding;
mod errno;
pub mod qmp;
pub mod tap;
