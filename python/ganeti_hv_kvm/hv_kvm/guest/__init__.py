"""One guest on this node: its files, its process, what its QEMU is told while it runs."""
