"""What was done is undone, in reverse, whatever goes wrong meanwhile."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.guest.undo import Undo


def test_success_undoes_nothing():
    done: list[str] = []
    with Undo("start") as undo:
        undo.add("first", lambda: done.append("first"))
    assert done == []


def test_failure_undoes_in_reverse():
    done: list[str] = []
    with pytest.raises(ValueError, match="broken"), Undo("start") as undo:  # noqa: PT012
        undo.add("first", lambda: done.append("first"))
        undo.add("second", lambda: done.append("second"))
        raise ValueError("broken")
    assert done == ["second", "first"]


def test_ctrl_c_undoes_and_stays_ctrl_c():
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), Undo("start") as undo:  # noqa: PT012
        undo.add("first", lambda: done.append("first"))
        raise KeyboardInterrupt
    assert done == ["first"]


def test_what_cannot_be_undone_is_said():
    done: list[str] = []

    def fail() -> None:
        raise OSError("disk full")

    with (  # noqa: PT012
        pytest.raises(errors.HypervisorError, match=r"broken; not undone: TAP tap0 \(disk full\)"),
        Undo("start") as undo,
    ):
        undo.add("files", lambda: done.append("files"))
        undo.add("TAP tap0", fail)
        raise ValueError("broken")
    assert done == ["files"]


def test_what_is_in_use_stays():
    """Fault: a QEMU that cannot be ended runs on without the files by which it is found."""
    done: list[str] = []

    def fail() -> None:
        raise errors.HypervisorError("it hangs in the kernel")

    said = r"broken; not undone: QEMU \(it hangs.*\); NIC 0 \(in use\); files \(in use\)"
    with pytest.raises(errors.HypervisorError, match=said), Undo("start") as undo:  # noqa: PT012
        undo.add("files", lambda: done.append("files"))
        undo.add("NIC 0", lambda: done.append("NIC 0"))
        undo.add("QEMU", fail, uses_earlier=True)
        undo.add("pinning", lambda: done.append("pinning"))
        raise ValueError("broken")
    assert done == ["pinning"]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), errors.GenericError("No space")])
def test_other_errors_become_those_that_ganeti_expects(error):
    expected = pytest.raises(errors.HypervisorError, match=r"start of web1 failed: .*No space")
    with expected, Undo("start of web1"):
        raise error
