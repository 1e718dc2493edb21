"""A node's Debian 12 becomes 13 with the package in it, by apt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.conftest import HOOK, WORK, Root, over

_HOURS = 3600.0
#: What apt fetches is kept: the second run needs its package lists alone.
_FETCHED = WORK / "debs-upgrade"
_APT = (
    "apt-get -y -o Dpkg::Options::=--force-confold -o Acquire::Check-Valid-Until=false"
    " -o APT::Sandbox::User=root -o Dir::Cache::archives=/fetched"
)


@pytest.fixture
def node(deb: Path) -> Iterator[Root]:
    """A Debian 12 with Ganeti; what apt fetches is kept outside of its layer."""
    (_FETCHED / "partial").mkdir(parents=True, exist_ok=True)
    for made in over(WORK / "cluster/bookworm", deb):
        made.bind(_FETCHED, "/fetched")
        yield made


@pytest.mark.timeout(_HOURS)
def test_it_stays_enabled_and_works(node: Root) -> None:
    assert node.run(". /etc/os-release; echo $VERSION_ID").strip() == "12"
    # by apt, which sees to what it depends on
    assert "Enabled" in node.run(f"{_APT} install /mnt/new.deb", seconds=_HOURS)
    before = node.run("ganeti-hv-kvm status --json")
    assert '"module": "replacement"' in before
    assert "python3.11" in node.run("readlink -f /usr/bin/python3")
    node.run("echo '# the operator' >>/etc/default/ganeti-hv-kvm")

    node.run("sed -i s/bookworm/trixie/g /etc/apt/sources.list")
    node.run(f"{_APT} update", seconds=_HOURS)
    node.run(f"{_APT} upgrade --without-new-pkgs", seconds=_HOURS)
    node.run(f"{_APT} full-upgrade", seconds=_HOURS)

    assert node.run(". /etc/os-release; echo $VERSION_ID").strip() == "13"
    assert "python3.13" in node.run("readlink -f /usr/bin/python3")
    assert node.run("dpkg --audit").strip() == ""
    assert node.has(HOOK)
    after = node.run("ganeti-hv-kvm status --json")
    assert '"module": "replacement"' in after
    versions = node.run("dpkg-query -W -f '${Version}\\n' ganeti ganeti-hv-kvm").split()
    assert versions[0].startswith("3.1")
    assert "# the operator" in node.run("cat /etc/default/ganeti-hv-kvm")
    # Python 3.13 has its own compiled files of it
    assert node.has("/usr/lib/python3/dist-packages/ganeti_hv_kvm/__pycache__/*.cpython-313.pyc")
    node.run(f"{_APT} purge ganeti-hv-kvm", seconds=_HOURS)
    assert not node.has(HOOK)
    assert not node.has("/usr/lib/python3/dist-packages/ganeti_hv_kvm")
