"""One QEMU: what it can do, what it says, what it is told."""
