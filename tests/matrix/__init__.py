"""Hypervisor parameters in pairs: what Ganeti's own module starts, ours starts."""
