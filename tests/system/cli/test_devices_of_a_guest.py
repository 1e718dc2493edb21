"""``diff``, ``showcmd`` and ``bundle`` of a guest that Ganeti's hypervisor started."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import tarfile
from pathlib import Path

import ganeti
import pytest
from ganeti import constants, objects, pathutils, serializer

from ganeti_hv_kvm import QmpConnection
from harness import golden, instance
from harness.the_command import IS_INSTALLED

pytestmark = [pytest.mark.qemu, pytest.mark.rather_3_1]
NAME = "web1.example.com"
#: Each Ganeti words the command in its own way, for the QEMU of its own Debian.
GENERATION = os.environ.get("GANETI_UNDER_TEST", "3.0")


@pytest.fixture
def run(hypervisor) -> Path:
    return Path(type(hypervisor)._ROOT_DIR)


@pytest.fixture
def started(hypervisor, tmp_path):
    disks = [instance.disk(tmp_path)]
    secret = "-object secret,id=sec0,data=geheim"
    made = instance.instance(NAME, disks=disks, nics=[instance.nic()], kvm_extra=secret)
    hypervisor.StartInstance(made, disks, True)
    return made


def give(hypervisor, name, arguments):
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        qmp.execute_qmp(name, arguments)


def comparable(words: list[str]) -> list[str]:
    """Without what a start adds; an installed command may be of a node with another QEMU."""
    kept = [word for word in words if word != "-S"]
    return [re.sub(r"(pc-i440fx)-[\d.]+", r"\1", word) for word in kept] if IS_INSTALLED else kept


def shown(text: str, run: Path, tmp_path: Path) -> str:
    return text.replace(str(tmp_path), "DISKS")


def test_diff(hypervisor, started, command, run, tmp_path):
    done = command("diff", NAME)
    assert (done.returncode, done.stderr) == (0, "")
    golden.check("diff-equal.txt", shown(done.stdout, run, tmp_path), run)
    give(hypervisor, "device_add", {"driver": "virtio-rng-pci", "id": "extra"})
    path = run / f"conf/{NAME}.runtime"
    path.write_text(path.read_text().replace("aa:00:00:12:34:00", "aa:00:00:12:34:99"))
    done = command("diff", "web1")
    assert (done.returncode, done.stderr) == (1, "")
    golden.check("diff-different.txt", shown(done.stdout, run, tmp_path), run)
    told = json.loads(command("diff", NAME, "--json").stdout)
    assert [(one["name"], one["what"]) for one in told["differences"]] == [
        ("nic-77f82bf7-5bdc-5bb8", "MAC"),
        ("extra", "device"),
    ]
    path.write_text("{")
    done = command("diff", NAME)
    assert done.returncode == 3
    assert "is damaged: it is no JSON" in done.stderr


def test_a_nic_that_is_cut_off_is_put_right(started, command, run):
    tap = (run / f"nic/{NAME}/0").read_text()
    subprocess.run(["ip", "link", "set", tap, "nomaster", "down"], check=True)
    done = command("why", NAME, "--json")
    told = [one for one in json.loads(done.stdout)["findings"] if one["level"] == "trouble"]
    assert [one["about"] for one in told] == ["NIC", "NIC"]
    for one in told:
        subprocess.run(["bash", "-c", one["advice"][0]], check=True)
    assert command("why", NAME).returncode == 0
    (run / f"nic/{NAME}/0").write_text("lo")
    (told,) = [
        one
        for one in json.loads(command("why", NAME, "--json").stdout)["findings"]
        if one["level"] == "trouble"
    ]
    assert "does not have lo open" in told["text"]
    (run / f"nic/{NAME}/0").write_text(tap)


def configure(made, tmp_path) -> None:
    """A configuration as a master candidate has it."""
    disk = instance.disk(tmp_path)[0]
    made.disks = [disk.uuid]
    cluster = objects.Cluster(
        hvparams={constants.HT_KVM: dict(made.hvparams)},
        beparams={constants.PP_DEFAULT: dict(made.beparams)},
        nicparams={constants.PP_DEFAULT: constants.NICC_DEFAULTS},
        enabled_hypervisors=[constants.HT_KVM],
        os_hvp={},
    )
    made.hvparams, made.beparams = {}, {}
    del made.disks_info
    config = objects.ConfigData(
        version=constants.CONFIG_VERSION,
        cluster=cluster,
        nodes={},
        nodegroups={},
        instances={made.uuid: made},
        networks={},
        disks={disk.uuid: disk},
        filters={},
    )
    Path(pathutils.CLUSTER_CONF_FILE).write_bytes(
        serializer.Dump(config.ToDict())
        if isinstance(serializer.Dump({}), bytes)
        else serializer.Dump(config.ToDict()).encode()
    )


def plain(words, *also):
    """Without descriptors, which each start has its own of."""
    text = [re.sub(r"\bfd=\d+", "fd=N", word) for word in words]
    return [word.replace(*also) if also else word for word in text]


def test_showcmd(started, command, run, tmp_path):
    code = str(Path(ganeti.__file__).parents[1])
    done = command("showcmd", NAME, "--timeout", "60", "--json", "--ganeti", code)
    assert (done.returncode, done.stderr) == (0, "")
    told = {one["kind"]: one for one in json.loads(done.stdout)["commands"]}
    assert list(told) == ["running", "stored", "reboot", "start"]
    running = plain(told["running"]["command"])
    assert "secret,id=sec0,data=***" in running
    assert "geheim" not in done.stdout
    assert set(told["stored"]["command"]) <= set(running)
    assert told["reboot"]["why_not"] is None
    assert plain(told["reboot"]["command"]) == running
    assert "only master candidates have the cluster's configuration" in told["start"]["why_not"]
    places = {
        "LINKS": pathutils.DISK_LINKS_DIR,
        "LOGS": pathutils.LOG_KVM_DIR,
        **{name: started.hvparams[name] for name in ("kvm_path", "kernel_path", "initrd_path")},
    }
    configure(started, tmp_path)
    try:
        done = command("showcmd", NAME, "--timeout", "60", "--ganeti", code)
        said = golden.transcript(done, "showcmd", NAME)
        for name, place in places.items():
            said = said.replace(place, name.upper())
        golden.check(f"showcmd-{GENERATION}.txt", shown(said, run, tmp_path), run)
        done = command("showcmd", NAME, "start", "--timeout", "60", "--json", "--ganeti", code)
        (start,) = json.loads(done.stdout)["commands"]
        assert start["why_not"] is None
        link = f"{pathutils.DISK_LINKS_DIR}/{NAME}:0"
        # it was started paused, and the disk is behind a link of Ganeti's
        wanted = plain(start["command"], link, str(tmp_path / "disk0.img"))
        assert comparable(wanted) == comparable(running)
    finally:
        Path(pathutils.CLUSTER_CONF_FILE).unlink()
    text = command("showcmd", NAME, "stored").stdout.splitlines()
    assert text[0].startswith("# stored (")
    assert text[1].endswith(" \\")
    assert f"  -name {NAME} \\" in text
    done = command("showcmd", NAME, "stord")
    assert (done.returncode, "did you mean 'stored'" in done.stderr) == (2, True)


def test_ganeti_that_hangs_costs_its_part_alone(started, command, tmp_path):
    code = tmp_path / "code"
    (code / "ganeti").mkdir(parents=True)
    (code / "ganeti/__init__.py").write_text("import time; time.sleep(1000)")
    done = command("showcmd", NAME, "--timeout", "1", "--ganeti", str(code), "--json")
    told = {one["kind"]: one for one in json.loads(done.stdout)["commands"]}
    assert done.returncode == 0
    assert told["running"]["command"]
    assert "gave no answer within 1 s" in told["reboot"]["why_not"]


def test_bundle(started, command, run, tmp_path):
    path = tmp_path / "all.tar.gz"
    logs = Path(pathutils.LOG_KVM_DIR)
    (logs.parent / "node-daemon.log").write_text(f"one\n{NAME}: password=geheim\n")
    # ample: what comes late would be missing
    words = ("bundle", NAME, "--output", str(path), "--log-dir", str(logs), "--timeout", "30")
    done = command(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(path) in done.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        (top,) = {member.name.partition("/")[0] for member in archive.getmembers()}
        texts = {name: archive.extractfile(one).read() for name, one in members.items()}
    assert all(stat.S_IMODE(member.mode) == 0o600 for member in members.values())
    assert {
        *("why.txt", "diff.txt", "showcmd.txt", "doctor.txt", "status.txt", "list.txt"),
        *("runtime.json", "qemu/query-block.json", "process/status", "process/fd", "missing.txt"),
    } <= set(texts)
    assert b"exit status 0" in texts["diff.txt"]
    assert b"password=***" in texts["node-daemon.log"]
    assert not any(b"geheim" in text for text in texts.values())
    said = golden.transcript(done, *words[:4]) + f"\n{top}/\n"
    said += "".join(f"  {name}\n" for name in sorted(texts))
    for name in ("missing.txt", "diff.txt", "node-daemon.log"):
        said += f"\n{name}:\n{texts[name].decode()}"
    said = shown(said, run, tmp_path).replace(str(logs), "LOGS")
    golden.check("bundle.txt", said.replace(str(logs.parent), "LOGS/.."), run)
    again = command(*words, "--json")
    assert again.returncode == 3
    assert "is there already, and was left as it is" in json.loads(again.stdout)["error"]["text"]


def test_a_bundle_that_cannot_be_written_leaves_nothing(started, command, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "small", small], check=True)
    try:
        done = command("bundle", NAME, "--output", str(small / "x.tar.gz"), "--timeout", "2")
        assert done.returncode == 3
        assert "No space left" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
