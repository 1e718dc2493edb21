"""``ganeti-hv-kvm`` as the tests call it: of the sources, or as GANETI_HV_KVM_COMMAND says."""

from __future__ import annotations

import os
import shlex
import sys

#: An installed one may lie in another root file system: "chroot /somewhere ganeti-hv-kvm".
COMMAND = tuple(
    shlex.split(os.environ.get("GANETI_HV_KVM_COMMAND", ""))
    or (sys.executable, "-m", "ganeti_hv_kvm")
)
IS_INSTALLED = COMMAND[0] != sys.executable
#: The Python that runs it.
PYTHON = (*COMMAND[:-1], "/usr/bin/python3") if IS_INSTALLED else (sys.executable,)
#: A word of its command line, by which its process is found.
NAME_IN_PROC = b"/usr/sbin/ganeti-hv-kvm" if IS_INSTALLED else b"ganeti_hv_kvm"
