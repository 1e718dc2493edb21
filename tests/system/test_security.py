"""chroot and users: what the kernel says of the QEMU process, on an old and on a new QEMU."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from ganeti import constants, errors, pathutils

from harness import guest, instance, paths
from harness.console import SerialConsole

pytestmark = pytest.mark.rather_3_0

NAME = "web1.example.com"
NO_USER = 3_999_999_000
NOBODY = pwd.getpwnam("nobody").pw_uid
BOOT_TIMEOUT = 90.0


@pytest.fixture(params=[paths.QEMU, paths.QEMU_10], ids=["QEMU 7.2", "QEMU 10"])
def qemu(request):
    return str(request.param)


@pytest.fixture
def uid_pool():
    """A pool of one user."""
    Path(pathutils.DATA_DIR, f"ssconf_{constants.SS_UID_POOL}").write_text(f"{NOBODY}-{NOBODY}\n")
    os.makedirs(pathutils.UIDPOOL_LOCKDIR, exist_ok=True)
    yield
    assert os.listdir(pathutils.UIDPOOL_LOCKDIR) == []


def start(hypervisor, qemu, disks=(), nics=(), **parameters):
    made = instance.instance(NAME, kvm_path=qemu, disks=disks, nics=nics, **parameters)
    hypervisor.StartInstance(made, list(disks), False)
    return made


def process(hypervisor) -> Path:
    return Path("/proc", str(hypervisor.GetInstanceInfo(NAME)[1]))


def root_of(hypervisor) -> str:
    return os.readlink(process(hypervisor) / "root")


def users_of(hypervisor) -> set[int]:
    """The real, effective, saved and file system user id."""
    lines = (process(hypervisor) / "status").read_text().splitlines()
    (uids,) = [line.split()[1:] for line in lines if line.startswith("Uid:")]
    return set(map(int, uids))


def test_without_both_it_is_root(hypervisor, qemu):
    start(hypervisor, qemu)
    assert root_of(hypervisor) == "/"
    assert users_of(hypervisor) == {0}


def test_chroot_and_user_and_the_guest_still_runs(hypervisor, qemu, tmp_path):
    made = start(
        hypervisor,
        qemu,
        disks=[instance.disk(tmp_path)],
        nics=[instance.nic()],
        use_chroot=True,
        security_model=constants.HT_SM_USER,
        security_domain="nobody",
    )
    chroot = hypervisor._InstanceChrootDir(NAME)
    assert root_of(hypervisor) == chroot
    assert users_of(hypervisor) == {NOBODY}
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        line = serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
    assert "vda:16MiB" in line
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    assert not os.path.exists(chroot)


def test_the_pool_lends_a_user(hypervisor, qemu, uid_pool):
    made = start(hypervisor, qemu, security_model=constants.HT_SM_POOL)
    assert users_of(hypervisor) == {NOBODY}
    assert os.listdir(pathutils.UIDPOOL_LOCKDIR) == [str(NOBODY)]
    assert hypervisor._TryReadUidFile(hypervisor._InstanceUidFile(NAME)) == NOBODY
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)


def test_a_reboot_gives_the_user_back_before_it_takes_one(hypervisor, qemu, uid_pool):
    made = start(hypervisor, qemu, security_model=constants.HT_SM_POOL, acpi=False)
    # the pool has one user: a second one could not be had
    hypervisor.RebootInstance(made)
    assert users_of(hypervisor) == {NOBODY}
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)


def test_a_reboot_is_refused_where_no_user_of_the_pool_is_left(hypervisor, qemu, uid_pool):
    """Somebody removed the users from the node; the guest runs on as its number."""
    made = start(hypervisor, qemu, security_model=constants.HT_SM_POOL, acpi=False)
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    names = Path(pathutils.DATA_DIR, f"ssconf_{constants.SS_UID_POOL}")
    names.write_text(f"{NO_USER}-{NO_USER + 3}\n")
    with pytest.raises(errors.HypervisorError, match=f"still runs.*User id {NO_USER} of"):
        hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] == pid
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    with pytest.raises(errors.HypervisorError, match="has no name on this node"):
        start(hypervisor, qemu, security_model=constants.HT_SM_POOL)
    assert hypervisor.ListInstances() == []


def test_a_pool_that_has_one_user_among_numbers_without(hypervisor, uid_pool):
    names = Path(pathutils.DATA_DIR, f"ssconf_{constants.SS_UID_POOL}")
    names.write_text(f"{NO_USER}-{NO_USER + 3}\n{NOBODY}\n")
    made = start(hypervisor, str(paths.QEMU), security_model=constants.HT_SM_POOL, acpi=False)
    hypervisor.RebootInstance(made)
    assert users_of(hypervisor) == {NOBODY}
    assert os.listdir(pathutils.UIDPOOL_LOCKDIR) == [str(NOBODY)]
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)


def test_a_dirty_chroot_goes_to_quarantine(hypervisor, caplog):
    made = start(hypervisor, str(paths.QEMU), use_chroot=True)
    Path(hypervisor._InstanceChrootDir(NAME), "evidence").write_text("an intruder was here")
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    assert not os.path.exists(hypervisor._InstanceChrootDir(NAME))
    (kept,) = Path(hypervisor._CHROOT_QUARANTINE_DIR).iterdir()
    assert kept.name.startswith(f"{NAME}-")
    assert (kept / "evidence").read_text() == "an intruder was here"
    assert str(kept) in caplog.text
    (kept / "evidence").unlink()
    kept.rmdir()
