"""What a QEMU tells by QMP, checked before it is believed. Needs no Ganeti."""
