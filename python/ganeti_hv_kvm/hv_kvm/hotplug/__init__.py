"""Disks and NICs that come, go and change while the guest runs."""
