"""Every system call of ours fails once, in every operation, on a real QEMU: `make test-inject`."""
