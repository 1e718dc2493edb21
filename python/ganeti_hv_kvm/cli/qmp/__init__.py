"""``ganeti-hv-kvm qmp``: a guest's monitor by hand, one command at a time."""
