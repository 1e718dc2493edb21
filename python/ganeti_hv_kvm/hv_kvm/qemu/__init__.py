"""One QEMU program: what it can do."""
