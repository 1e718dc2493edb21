"""A command line is put before QEMU without a guest."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace

import pytest
from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.qemu import dry_run

FACTS = SimpleNamespace(
    path="/usr/bin/qemu", machines="pc-i440fx-7.2  PC\n", devices='name "VGA"\n'
)


def test_what_qemu_refuses_is_said_in_its_words(monkeypatch):
    refused = SimpleNamespace(failed=True, output="invalid option")
    monkeypatch.setattr(utils, "RunCmd", lambda command, postfork_fn=None: refused)
    with pytest.raises(errors.HypervisorError, match=r"refuses .*: invalid option"):
        dry_run.check(["/usr/bin/qemu", "-no-such"], FACTS)


@pytest.mark.parametrize(
    ("word", "value", "text"),
    [("-machine", "pc-i440fx-2.1", "machine type"), ("-device", "sga", "device sga")],
)
def test_what_qemu_lacks(word, value, text):
    with pytest.raises(errors.HypervisorError, match=f"has no {text}"):
        dry_run.check(["/usr/bin/qemu", word, value], FACTS)


def test_no_qemu_is_left_where_the_wait_for_its_answer_breaks_off(monkeypatch):
    """Fault: for a moment a second QEMU of the guest's name, and an error that said nothing."""
    children = []

    def break_off(command, postfork_fn):
        children.append(subprocess.Popen(["/bin/sleep", "0.3"]))
        postfork_fn(children[0].pid)
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(utils, "RunCmd", break_off)
    with pytest.raises(errors.HypervisorError, match=r"could not be asked .*allocate memory"):
        dry_run.check(["/usr/bin/qemu"], FACTS)
    assert not os.path.exists(f"/proc/{children[0].pid}")
    children[0].returncode = 0
