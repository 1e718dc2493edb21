//! TAP devices and the QEMU Machine Protocol (QMP) for KVM guests; knows nothing of Python or Ganeti.
