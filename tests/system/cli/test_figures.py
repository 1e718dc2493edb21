"""``metrics`` and ``top``: what real guests use."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from harness import golden, troubled

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it
_SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*",?)+\})? -?[0-9.e+-]+')


@pytest.fixture
def tap(run):
    """A TAP device that Ganeti has noted for the guest that runs."""
    subprocess.run(["ip", "tuntap", "add", "tap7", "mode", "tap"], check=True)
    subprocess.run(["ip", "link", "add", "br7", "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", "tap7", "master", "br7"], check=True)
    notes = run / "nic/running0.example.com"
    notes.mkdir()
    (notes / "0").write_text("tap7")
    (notes / "1").write_text("../../../etc")
    yield "tap7"
    for name in ("tap7", "br7"):
        subprocess.run(["ip", "link", "delete", name], check=True)


def samples(text):
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert _SAMPLE.fullmatch(line), line
            name, _, value = line.rpartition(" ")
            assert name not in found
            found[name] = float(value)
    return found


def test_metrics(run, command, tap):
    with troubled.node(run, "running", "io-error", "stopped"):
        (run / 'conf/a"b\\c.runtime').touch()
        done = command("metrics")
        again = command("metrics")  # now it is known since when each is as it is
    golden.check("metrics.txt", golden.transcript(again, "metrics"), run)
    assert (done.returncode, done.stderr) == (0, "")
    told = samples(done.stdout)
    assert told["ganeti_kvm_up"] == 1
    assert told["ganeti_kvm_domains"] == 4
    io_error, running = '{domain="io-error0.example.com"', '{domain="running0.example.com"'
    assert told[f'ganeti_kvm_domain_state{io_error},state="io-error"}}'] == 1
    assert told[f"ganeti_kvm_domain_trouble{io_error}}}"] == 1
    assert told[f"ganeti_kvm_domain_trouble{running}}}"] == 0
    assert told[f"ganeti_kvm_domain_info_memory_usage_bytes{running}}}"] == 16 << 20
    assert told[f"ganeti_kvm_domain_info_cpu_time_seconds_total{running}}}"] > 0
    disk = f'{io_error},target_device="disk0"}}'
    assert told[f"ganeti_kvm_domain_block_stats_read_bytes_total{disk}"] == 512
    nic = f'{running},source_bridge="br7",target_device="{tap}"}}'
    assert told[f"ganeti_kvm_domain_interface_stats_receive_bytes_total{nic}"] == 0
    assert told['ganeti_kvm_domain_monitor{domain="stopped0.example.com",verdict="stopped"}'] == 1
    assert told[r'ganeti_kvm_domain_monitor{domain="a\"b\\c",verdict="gone"}'] == 1
    assert "etc" not in done.stdout


def test_a_textfile_is_whole_or_as_before(run, command, tmp_path):
    path = tmp_path / "guests.prom"
    done = command("metrics", "--textfile", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert samples(path.read_text())["ganeti_kvm_domains"] == 0
    assert path.stat().st_mode & 0o777 == 0o644
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "small", small], check=True)
    try:
        (small / "guests.prom").write_text("x" * 4096)
        said = command("metrics", "--textfile", str(small / "guests.prom"))
        said = golden.transcript(said, "metrics", "--textfile", "SMALL/guests.prom")
        golden.check("metrics-textfile.txt", said.replace(str(small), "SMALL"), run)
        done = command("metrics", "--textfile", str(small / "guests.prom"), "--json")
        assert done.returncode == 3
        assert "No space left" in json.loads(done.stdout)["error"]["text"]
        assert [file.name for file in small.iterdir()] == ["guests.prom"]
        assert (small / "guests.prom").read_text() == "x" * 4096
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_textfile_takes_the_place_of_no_device(command, tmp_path):
    """Fault: as root it put a file where /dev/null was."""
    device, link = tmp_path / "null", tmp_path / "link"
    subprocess.run(["mknod", device, "c", "1", "3"], check=True)
    link.symlink_to(device)
    for path in (device, link, tmp_path):
        done = command("metrics", "--textfile", str(path), "--json")
        assert done.returncode == 3
        assert "cannot be written" in json.loads(done.stdout)["error"]["text"]
    assert device.is_char_device()
    assert link.is_symlink()


def test_a_textfile_behind_a_link(command, tmp_path):
    (tmp_path / "link").symlink_to("guests.prom")
    assert command("metrics", "--textfile", str(tmp_path / "link")).returncode == 0
    assert "ganeti_kvm_up 1" in (tmp_path / "guests.prom").read_text()
    assert (tmp_path / "link").is_symlink()


def test_rates_of_top(run, command, tap):
    with troubled.node(run, "running", "stopped"):
        done = command("top", "--json", "--count", "2", "--interval", "1")
        table = command("top", "--count", "1", "-o", "name,state", "--no-headers")
    assert done.returncode == 0
    first, second = ([*json.loads(line)["guests"]] for line in done.stdout.splitlines())
    assert {row["cpu"] for row in first} == {None}
    cpu = {row["name"].partition("0.")[0]: row["cpu"] for row in second}
    assert cpu["running"] > cpu["stopped"] == 0
    (row,) = (row for row in second if row["name"].startswith("running"))
    assert (row["receive"], row["state"]) == (0, "running")
    assert re.search(r"^stopped0.example.com +stopped$", table.stdout, re.MULTILINE)


def test_what_top_says(run, command, tap):
    """Sorted by networks, of which none has sent: by name."""
    words = ("top", "--count", "2", "--interval", "0.3", "--sort", "n", "--timeout", "2")
    kinds = ("running", "paused", "io-error", "stopped", "held", "gone")
    with troubled.node(run, *kinds):
        done = command(*words)
        some = ("top", "runing0", "pau*", "--count", "1", "-o", "name,state,memory", "--units", "m")
        slip = command(*some)
        told = json.loads(command("top", "runing0", "--count", "1", "--json").stdout)
    assert told == {
        "guests": [],
        "problems": ["no guest 'runing0' on this node; did you mean 'running0'?"],
    }
    said = golden.transcript(done, *words) + "\n" + golden.transcript(slip, *some)
    golden.check("top.txt", said, run)
