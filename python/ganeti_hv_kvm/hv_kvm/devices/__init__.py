"""Disks and NICs as QEMU sees them: their places, their names. Nothing here does I/O."""
