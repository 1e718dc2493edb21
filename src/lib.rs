//! TAP devices and the QEMU Machine Protocol (QMP) for KVM guests.
//!
//! The core knows nothing of Python or Ganeti:
//!
//! * [`tap`] opens TAP interfaces: queues, virtio-net header, vhost; all or nothing.
//! * [`qmp`] speaks with a QEMU monitor: one absolute deadline per call, an id on every command,
//!   no event lost, linear in the size of what comes.
//! * [`process`] tells whether an instance's QEMU is there, and ends it: yes, no, cannot tell.
//! * [`sockets`] tells who listens on a Unix socket and who holds it.
//!
//! With the feature `python` the crate is also the extension module `ganeti_hv_kvm._native`.

#[cfg(feature = "python")]
mod binding;
mod errno;
pub mod process;
pub mod qmp;
pub mod sockets;
pub mod tap;
