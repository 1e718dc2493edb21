"""A start that fails at any step leaves nothing, and the next one succeeds. Real QEMU and TAPs."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from ganeti import constants, errors, pathutils

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm import netdev
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.lifecycle import start as launch
from harness import instance, paths


def start(hypervisor, *, disks=(), nics=None, **parameters):
    guest = instance.instance(
        "web1.example.com",
        nics=[instance.nic(0), instance.nic(1)] if nics is None else nics,
        disks=disks,
        **parameters,
    )
    hypervisor.StartInstance(guest, list(disks), False)
    return guest


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"cpu_mask": "4095"}, "4095", id="cpu_mask names a CPU that is not there"),
        pytest.param({"cpu_mask": "0:0"}, "2 parts", id="cpu_mask fits no vCPU"),
        pytest.param({"kvm_extra": "-no-such-switch"}, "no-such-switch", id="QEMU refuses"),
        pytest.param({"cpu_type": "no-such-cpu"}, "no-such-cpu", id="QEMU has no such CPU"),
        pytest.param({"vhost_net": True}, "vhost", id="no /dev/vhost-net"),
        pytest.param({"disk_type": "no-such-disk"}, "disk", id="unknown disk type"),
        pytest.param({"security_model": "user", "security_domain": "nobody-here"}, "nobody-here",
                     id="unknown user"),
        pytest.param({"kvm_path": "/bin/false"}, "false", id="QEMU cannot be probed"),
        pytest.param({"kvm_path": "/no/such/qemu"}, "no/such/qemu", id="QEMU is not there"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_fulfilled(
    hypervisor, nothing_left, tmp_path, parameters, message
):
    disks = [instance.disk(tmp_path)]
    with pytest.raises(errors.HypervisorError, match=message):
        start(hypervisor, disks=disks, **parameters)
    nothing_left()
    start(hypervisor, disks=disks)


def test_a_network_script_that_fails(hypervisor, nothing_left):
    # Ganeti's script gives up on a routed NIC without an address
    nics = [instance.nic(0), instance.nic(1)]
    nics[1].nicparams[constants.NIC_MODE] = constants.NIC_MODE_ROUTED
    with pytest.raises(errors.HypervisorError, match="no IP address"):
        start(hypervisor, nics=nics)
    nothing_left()
    start(hypervisor)


def test_a_password_that_cannot_be_read(hypervisor, nothing_left, tmp_path):
    gone = tmp_path / "password"
    with pytest.raises(errors.HypervisorError, match=str(gone)):
        start(hypervisor, vnc_bind_address="127.0.0.1", vnc_password_file=str(gone))
    nothing_left()


def test_a_password_without_a_display_is_no_hindrance(hypervisor, tmp_path):
    password = tmp_path / "password"
    password.write_text("sesame\n")
    start(hypervisor, vnc_password_file=str(password))


def _refused(connection):
    # QEMU knows no such argument of this command
    return super(Sabotaged, connection).execute_qmp("cont", {"loudly": True})


def _killed(connection):
    os.kill(connection.peer_pid, signal.SIGKILL)
    return super(Sabotaged, connection).execute_qmp("cont")


class Sabotaged(hv_kvm.QmpConnection):
    """A connection on which the last command of a start goes wrong, at the real QEMU."""

    def execute_qmp(self, command, arguments=None, **options):
        if command == "cont":
            return self.sabotage()
        return super().execute_qmp(command, arguments, **options)


@pytest.mark.parametrize(("sabotage", "message"), [(_refused, "loudly"), (_killed, "cont")])
def test_the_last_command_of_a_start_fails(
    hypervisor, nothing_left, monkeypatch, sabotage, message
):
    monkeypatch.setattr(Sabotaged, "sabotage", sabotage, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(hv_kvm, "QmpConnection", Sabotaged)
        with pytest.raises(errors.HypervisorError, match=message):
            start(hypervisor)
    nothing_left()
    start(hypervisor)


_QEMU_AND = """#!/usr/bin/python3
import os, signal, socket, subprocess, sys
words = sys.argv[1:]
status = subprocess.run([{qemu!r}, *words], close_fds=False).returncode
if status or "-daemonize" not in words or "-version" in words:
    sys.exit(status)
if {how!r} == "is hung":
    pid = int(open(words[words.index("-pidfile") + 1]).read())
    os.kill(pid, signal.SIGSTOP)
    sys.exit()
holder = socket.socket(socket.AF_UNIX)
(path,) = (word[5:].split(",")[0] for word in words if ".qmp," in word)
holder.connect(path)
holder.recv(4096)
if os.fork():
    sys.exit()
os.setsid()
os.closerange(0, holder.fileno())
os.closerange(holder.fileno() + 1, 1024)
while holder.recv(4096):
    pass
"""


@pytest.mark.parametrize("how", ["is hung", "is another client's"])
def test_the_monitor_cannot_be_asked(hypervisor, nothing_left, monkeypatch, tmp_path, how):
    monkeypatch.setenv(settings.QMP.variable, "1")
    qemu = tmp_path / "qemu"
    qemu.write_text(_QEMU_AND.format(qemu=str(paths.QEMU), how=how))
    qemu.chmod(0o755)
    with pytest.raises(errors.HypervisorError, match=r"no answer from the monitor"):
        start(hypervisor, kvm_path=str(qemu))
    assert hypervisor.ListInstances() == []
    nothing_left()
    start(hypervisor)


def test_a_qemu_that_cannot_be_ended_keeps_its_files(hypervisor, monkeypatch):
    """Fault: it runs on, and nothing on the node tells of it."""

    def fail(*_args, **_more):
        raise errors.HypervisorError("it hangs in the kernel")

    monkeypatch.setattr(Sabotaged, "sabotage", _refused, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(hv_kvm, "QmpConnection", Sabotaged)
        patch.setattr(launch.process, "kill", fail)
        with pytest.raises(errors.HypervisorError, match=r"not undone: QEMU \(it hangs") as caught:
            start(hypervisor)
    assert "files of the instance (in use)" in str(caught.value)
    (name,) = hypervisor.ListInstances()
    assert Path(hypervisor._InstanceKVMRuntime(name)).exists()
    hypervisor.StopInstance(None, force=True, name=name)
    hypervisor.CleanupInstance(name)


def test_a_disk_that_is_not_there(hypervisor, nothing_left, tmp_path):
    disk = instance.disk(tmp_path)
    os.unlink(disk[1])
    with pytest.raises(errors.HypervisorError, match="disk0"):
        start(hypervisor, disks=[disk])
    nothing_left()


@pytest.mark.parametrize("folder", ["_CONF_DIR", "_NICS_DIR"])
def test_a_full_disk(hypervisor, nothing_left, folder):
    path = getattr(hypervisor, folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "full", path], check=True)
    try:
        with pytest.raises(errors.HypervisorError, match=os.strerror(errno.ENOSPC)):
            start(hypervisor)
    finally:
        subprocess.run(["umount", path], check=True)
    nothing_left()
    start(hypervisor)


def test_no_descriptors_left_for_the_second_nic(hypervisor, nothing_left, monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[str] = []

    def open_one(name, features):
        tap, tapfds, vhostfds = netdev.OpenTap(name, features)
        opened.append(tap)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(tapfds) + 1, hard))
        return tap, tapfds, vhostfds

    monkeypatch.setattr(hv_kvm, "OpenTap", open_one)
    try:
        with pytest.raises(errors.HypervisorError, match="NIC 1"):
            start(hypervisor)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(opened) == 1
    nothing_left()


def test_the_user_of_a_pool_goes_back(hypervisor, nothing_left):
    Path(pathutils.DATA_DIR, f"ssconf_{constants.SS_UID_POOL}").write_text("65534-65534\n")
    os.makedirs(pathutils.UIDPOOL_LOCKDIR, exist_ok=True)
    with pytest.raises(errors.HypervisorError, match="no-such-switch"):
        start(hypervisor, security_model="pool", kvm_extra="-no-such-switch")
    assert os.listdir(pathutils.UIDPOOL_LOCKDIR) == []
    nothing_left()
    guest = start(hypervisor, security_model="pool")
    pid = hypervisor.GetInstanceInfo(guest.name)[1]
    assert os.stat(f"/proc/{pid}").st_uid == 65534
    hypervisor.StopInstance(guest, force=True)
    hypervisor.CleanupInstance(guest.name)
    assert os.listdir(pathutils.UIDPOOL_LOCKDIR) == []


def test_ctrl_c_in_the_middle(hypervisor, nothing_left):
    def interrupt(self_instance, seq, nic, tap):
        if seq == 1:
            signal.raise_signal(signal.SIGINT)

    configure = type(hypervisor)._ConfigureNIC
    type(hypervisor)._ConfigureNIC = staticmethod(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            start(hypervisor)
    finally:
        type(hypervisor)._ConfigureNIC = staticmethod(configure)
    nothing_left()


def test_a_running_instance_is_left_alone(hypervisor):
    guest = start(hypervisor)
    before = hypervisor.GetInstanceInfo(guest.name)
    with pytest.raises(errors.HypervisorError, match="runs already"):
        start(hypervisor)
    assert hypervisor.GetInstanceInfo(guest.name) == before
    assert hypervisor.ListInstances() == [guest.name]


def test_two_starts_at_once_from_two_threads(hypervisor):
    failures: list[Exception] = []

    def run(name: str) -> None:
        guest = instance.instance(name, nics=[])
        try:
            hypervisor.StartInstance(guest, [], True)
        except Exception as err:
            failures.append(err)

    threads = [threading.Thread(target=run, args=(f"web{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(hypervisor.ListInstances()) == ["web0", "web1"]
