"""QMP's verbs: a function for each command that is given to a QEMU, and for what takes several.

Each takes a connected monitor, and raises ``errors.HypervisorError``. Ganeti's own names for them
are methods of ``monitor.QmpConnection``, which connect where that has not been done.
"""
