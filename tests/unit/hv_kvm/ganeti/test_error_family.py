"""Whatever the system refuses comes out as the error that Ganeti's daemons wait for."""

from __future__ import annotations

import errno
import signal
import threading
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import child_status, error_family


@error_family.converts(["StartInstance", "ListInstances"])
class Hypervisor:
    def StartInstance(self, instance, what):
        raise what

    def ListInstances(self):
        return child_status.is_told()


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (MemoryError(), "no memory is left"),
        (LookupError("unknown encoding: idna"), "unknown encoding: idna"),
        (ModuleNotFoundError("No module named 'ganeti.late'"), "No module named"),
        (errors.OpExecError("Can't execute it"), "Can't execute it"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
    ],
)
def test_it_is_a_hypervisor_error_that_names_instance_and_request(raised, text):
    with pytest.raises(errors.HypervisorError, match=f"web1: StartInstance failed: .*{text}"):
        Hypervisor().StartInstance(SimpleNamespace(name="web1"), raised)


@pytest.mark.parametrize(
    "raised", [errors.HotplugError("as it is"), errors.ProgrammerError("no"), KeyError("bug")]
)
def test_others_stay_what_they_are(raised):
    with pytest.raises(type(raised)) as caught:
        Hypervisor().StartInstance(None, raised)
    assert caught.value is raised


def test_where_sigchld_is_ignored_it_is_not_for_as_long_as_a_request_takes():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert Hypervisor().ListInstances()
        assert not child_status.is_told()
        told = []

        def elsewhere() -> None:
            told.append(Hypervisor().ListInstances())
            try:
                Hypervisor().StartInstance(None, KeyError("was begun"))
            except errors.HypervisorError as err:
                told.append(str(err))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert told[0] is False
        assert "nothing was begun" in told[1]
    finally:
        signal.signal(signal.SIGCHLD, before)
