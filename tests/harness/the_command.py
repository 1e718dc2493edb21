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
#: The Python that runs it.
PYTHON = (sys.executable,) if COMMAND[0] == sys.executable else (*COMMAND[:-1], "/usr/bin/python3")
#: A word of its command line, by which its process is found.
NAME_IN_PROC = b"ganeti_hv_kvm" if COMMAND[-1] == "ganeti_hv_kvm" else b"/usr/sbin/ganeti-hv-kvm"
