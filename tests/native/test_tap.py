"""OpenTap and its probes, on real interfaces in a network of their own."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ganeti_hv_kvm import _native, errors

pytestmark = pytest.mark.root

_PREAMBLE = """
import os, fcntl, json
from pathlib import Path
from ganeti_hv_kvm import _native, errors

def interfaces():
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    return sorted(line.split(":")[0].strip() for line in lines)

def devices():
    fds = Path("/proc/self/fd").iterdir()
    links = [os.readlink(fd) for fd in fds if fd.is_symlink()]
    return [link for link in links if link.startswith("/dev/net/") or "vhost" in link]

def state():
    return interfaces(), devices()

before = state()
"""


def alone(program: str) -> None:
    """Runs Python in a fresh network; its assertions are the test's."""
    command = ["unshare", "--net", sys.executable, "-c", _PREAMBLE + program]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_one_queue():
    alone("""
name, fd = _native._OpenTap()
assert type(name) is str and name in interfaces()
assert not os.get_inheritable(fd)
os.close(fd)
assert state() == before
name, fd = _native._OpenTap(vnet_hdr=False)
os.close(fd)
""")


def test_the_name_is_text():
    """Fault: it was bytes, and the network script's first argument "b'tap0'"."""
    alone("""
name, [fd], vhost = _native.OpenTap()
assert (type(name), vhost) == (str, [])
name, [fd], _ = _native.OpenTap("given0")
assert name == "given0"
name, [fd], _ = _native.OpenTap("gnt.com.%d", {"vnet_hdr": False})
assert name == "gnt.com.0"
""")


def test_queues():
    alone("""
name, fds, vhost = _native.OpenTap(features={"mq": (True, 4), "vnet_hdr": True, "vhost": False})
assert (len(fds), vhost) == (4, [])
assert interfaces() == sorted([*before[0], name])
assert not any(map(os.get_inheritable, fds))
for fd in fds:
    os.close(fd)
assert state() == before
""")


@pytest.mark.skipif(os.path.exists("/dev/vhost-net"), reason="this machine has vhost-net")
def test_without_vhost_nothing_is_left():
    """Fault: OpenTap without /dev/vhost-net left descriptors and interfaces."""
    alone("""
for features in ({"vhost": True}, {"vhost": True, "mq": (True, 4)}):
    try:
        _native.OpenTap("novhost", features)
    except errors.TapError as err:
        assert err.errno == 2, err.errno
        assert "/dev/vhost-net" in str(err) and "No such file" in str(err), err
    else:
        raise AssertionError("it has opened")
    assert state() == before
""")


def test_a_later_queue_that_fails_leaves_nothing():
    """Fault: OpenTap failing at a later queue left the earlier ones."""
    alone("""
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, hard))
try:
    _native.OpenTap("toomany", {"mq": (True, 16)})
except errors.TapError as err:
    assert err.errno == 24, err.errno
else:
    raise AssertionError("it has opened")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
assert state() == before
""")


def test_a_name_in_use_is_a_tap_error():
    alone("""
name, [fd], _ = _native.OpenTap("inuse")
for features in (None, {"mq": (True, 2)}):
    try:
        _native.OpenTap("inuse", features)
    except errors.TapError as err:
        assert err.errno and "inuse" in str(err)
    else:
        raise AssertionError("it has opened")
assert interfaces() == sorted([*before[0], "inuse"])
""")


@pytest.mark.parametrize("name", ["x" * 16, "a/b", "a b", "a\nb", "a\0b", ".", "..", "ä", "a:b"])
def test_bad_names_never_reach_the_kernel(name):
    with pytest.raises(errors.TapError) as caught:
        _native.OpenTap(name)
    assert caught.value.errno is None
    assert (name if name.isprintable() and name.isascii() else name[0]) in str(caught.value)


@pytest.mark.parametrize(
    "mq", [(True, 0), (True, -1), (True, 257), (True, "x"), 3, None, (1, 2, 3)]
)
def test_bad_queues_are_tap_errors(mq):
    with pytest.raises(errors.TapError):
        _native.OpenTap("", {"mq": mq})


def test_features_of_the_kernel():
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        (expected,) = struct.unpack(
            "I", fcntl.ioctl(fd, _native.TUNGETFEATURES, struct.pack("I", 0))
        )
        assert _native._GetTunFeatures(fd) == expected
        assert _native._ProbeTapVnetHdr(fd) == bool(expected & _native.IFF_VNET_HDR)
        assert _native._ProbeTapMqVirtioNet(fd) == bool(expected & _native.IFF_MULTI_QUEUE)
    finally:
        os.close(fd)


def test_features_of_what_is_no_tun_device(tmp_path, caplog):
    with (tmp_path / "file").open("w") as file, caplog.at_level(logging.WARNING):
        assert _native._GetTunFeatures(file.fileno()) is None
        assert _native._ProbeTapVnetHdr(file.fileno()) is False
    assert _native._GetTunFeatures(-1) is None
    assert {record.name for record in caplog.records} == {"ganeti_hv_kvm.tap"}
    assert "Inappropriate ioctl" in caplog.text


def test_stand_ins_for_the_ioctl_and_the_features():
    def ioctl(fd, request, argument):
        assert (fd, request, argument) == (7, _native.TUNGETFEATURES, struct.pack("I", 0))
        return struct.pack("I", 0x4000)

    def failing(*_):
        raise OSError(25, "no")

    assert _native._GetTunFeatures(7, _ioctl=ioctl) == 0x4000
    assert _native._GetTunFeatures(7, _ioctl=failing) is None
    assert _native._GetTunFeatures(7, _ioctl=lambda *_: b"") is None
    with pytest.raises(ZeroDivisionError):
        _native._GetTunFeatures(7, _ioctl=lambda *_: 1 // 0)
    for flags, has in ((0, False), (0x4000, True), (0x100, False), (None, False)):
        assert _native._ProbeTapVnetHdr(7, _features_fn=lambda fd, flags=flags: flags) is has
    for flags, has in ((0, False), (0x100, True), (0x4000, False), (None, False)):
        assert _native._ProbeTapMqVirtioNet(7, _features_fn=lambda fd, flags=flags: flags) is has


def test_constants_are_those_of_the_header():
    header = Path("/usr/include/linux/if_tun.h")
    expected = {"IFF_TAP": 2, "IFF_NO_PI": 0x1000, "IFF_ONE_QUEUE": 0x2000}
    expected |= {"IFF_VNET_HDR": 0x4000, "IFF_MULTI_QUEUE": 0x100}
    expected |= {"TUNSETIFF": 0x400454CA, "TUNGETIFF": 0x800454D2, "TUNGETFEATURES": 0x800454CF}
    assert {name: getattr(_native, name) for name in expected} == expected
    if header.exists():
        text = header.read_text()
        for name in ("IFF_TAP", "IFF_NO_PI", "IFF_ONE_QUEUE", "IFF_VNET_HDR", "IFF_MULTI_QUEUE"):
            value = text.split(f"#define {name}")[1].split()[0]
            assert int(value, 16) == expected[name], name


def test_a_tap_closes_itself():
    alone("""
from ganeti_hv_kvm import Tap
with Tap(queues=2) as tap:
    assert tap.name in interfaces() and len(tap.fds) == 2 and not tap.closed
assert tap.closed and state() == before
tap.close()
with Tap() as tap:
    (fd,), _ = tap.detach()
assert tap.name in interfaces()
os.close(fd)
assert state() == before
try:
    with Tap() as tap:
        raise KeyError
except KeyError:
    assert state() == before
for queues in (0, True, "2"):
    try:
        Tap(queues=queues)
    except errors.TapError:
        assert state() == before
    else:
        raise AssertionError(queues)
""")
