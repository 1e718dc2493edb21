"""The key of an encrypted migration: whose it is, and that it goes, whatever happens."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from ganeti import constants

from harness import encrypted, migrants
from harness.each_qemu import EACH_QEMU
from harness.encrypted import ENCRYPTED, give_secret, keys, move
from harness.migrants import ONE_PASS, SLOW
from harness.two_nodes import RemoteError, RemoteNode

pytestmark = [pytest.mark.migration, pytest.mark.only_3_0, pytest.mark.one_in(2)]

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def nodes(generation, bridge):
    with encrypted.nodes(generation) as made:
        yield made


@EACH_QEMU
@pytest.mark.parametrize("use_chroot", [True, False])
def test_a_key_is_its_guests_alone(nodes, make, use_chroot):
    pair = nodes("require", "require")
    for remote in (pair.source, pair.target):
        for folder in remote.root.parents[:2]:  # the sandbox's own; /run/ganeti lets all through
            folder.chmod(0o711)
    user = {"security_model": constants.HT_SM_USER, "security_domain": "nobody"}
    guest = make(pair, use_chroot=use_chroot, **user, **ONE_PASS)
    info = pair.accept(guest)
    assert keys(pair.source) == []
    folder, file = map(Path, sorted(keys(pair.target)))
    assert ("/chroot/" in str(folder)) == use_chroot
    for path, mode in ((folder, 0o700), (file, 0o600)):
        seen = path.stat()
        assert (seen.st_mode & 0o777, seen.st_uid) == (mode, NOBODY.pw_uid)
    pair.source.call("MigrateInstance", guest, pair.address, True)
    pair.wait(guest)
    pair.finish(guest, info)
    assert pair.run_states(guest["name"]) == ("gone", "running")
    assert keys(pair.source) + keys(pair.target) == []
    assert move(pair.reversed(), guest) == ENCRYPTED  # as the source it forgets it too


@EACH_QEMU
def test_another_secret(nodes, make):
    """Fault: one node was away when the cluster's secret was renewed."""
    pair = nodes("prefer", "prefer")
    give_secret("34cd" * 16, pair.target)
    guest = make(pair, **ONE_PASS)
    info = pair.begin(guest)
    with pytest.raises(RemoteError, match=r"migration of instance .* failed"):
        pair.wait(guest)
    assert pair.abort(guest, info) == ("", "")
    assert pair.run_states(guest["name"]) == ("running", "gone")
    assert keys(pair.source) + keys(pair.target) == []
    give_secret(encrypted.SECRET, pair.target)
    assert move(pair, guest) == ENCRYPTED


def test_the_targets_qemu_is_killed(nodes, make):
    pair = nodes("require", "require")
    guest = make(pair, **SLOW)
    info = pair.begin(guest)
    migrants.wait_for_status(pair.source, guest["name"], "active")
    os.kill(pair.target.pid(guest["name"]), 9)
    with pytest.raises(RemoteError, match="failed"):
        pair.wait(guest)
    assert pair.abort(guest, info) == ("", "")
    assert pair.run_states(guest["name"]) == ("running", "gone")
    assert keys(pair.source) + keys(pair.target) == []
    assert pair.source.qemu(guest["name"], "query-migrate-parameters")["tls-creds"] == ""


def _let_it_be_old(remote: RemoteNode) -> None:
    for path in keys(remote):
        os.utime(path, (1, 1))


@pytest.mark.parametrize("way", ["a listing", "a stop", "a start"])
def test_nobody_tells_the_target_of_the_end(nodes, make, way):
    """Fault: the node daemon, or the master, ended in between."""
    pair = nodes("require", "require")
    guest = make(pair, **ONE_PASS)
    pair.begin(guest)
    pair.wait(guest)
    migrants.wait_for(pair.target, guest["name"], "running")
    pair.target.call("GetAllInstancesInfo")
    assert len(keys(pair.target)) == 2, "it may be on its way"
    if way == "a listing":
        _let_it_be_old(pair.target)
        pair.target.call("GetAllInstancesInfo")
    elif way == "a stop":
        pair.target.call("StopInstance", guest)
    else:
        os.kill(pair.target.pid(guest["name"]), 9)
        migrants.wait_until(lambda: pair.target.call("ListInstances") == [], 30, "its end")
        pair.target.call("StartInstance", guest)
    assert keys(pair.target) == []
