"""The .deb on a node: installed, disabled, removed, purged, installed again."""

from __future__ import annotations

from ganeti_hv_kvm.cli import commands
from packages.conftest import HOOK, Root

INSTALL = "dpkg -i /mnt/new.deb"
STATUS = "ganeti-hv-kvm status"
DEFAULT = "/etc/default/ganeti-hv-kvm"


def test_enabled_when_installed_and_gone_when_purged(root: Root) -> None:
    assert "Enabled" in root.run(INSTALL)
    assert "replacement (/usr/lib/python3/dist-packages/ganeti_hv_kvm" in root.run(STATUS)
    root.run("dpkg -r ganeti-hv-kvm")
    assert not root.has(HOOK)
    assert not root.has("/usr/lib/python3/dist-packages/ganeti_hv_kvm")
    assert root.has(DEFAULT), "a removed package keeps its settings"
    root.run("dpkg -P ganeti-hv-kvm")
    assert not root.has(DEFAULT)
    assert not root.has("/var/lib/ganeti-hv-kvm")
    assert "Enabled" in root.run(INSTALL)
    root.run(STATUS)


def test_installed_over_itself_it_stays_enabled(root: Root) -> None:
    root.run(INSTALL)
    assert "Enabled already" in root.run(INSTALL)
    root.run(STATUS)


def test_upgraded_from_an_older_version_it_stays_enabled_and_settings_are_kept(root: Root) -> None:
    older = """
        set -e
        dpkg-deb -R /mnt/new.deb /older && cd /older
        sed -i 's/^Version:.*/Version: 0.0.1/' DEBIAN/control
        touch usr/lib/python3/dist-packages/ganeti_hv_kvm/of_old.py
        dpkg-deb -b . /mnt/old.deb
    """
    root.run(older)
    assert "Enabled" in root.run("dpkg -i /mnt/old.deb")
    root.run(f"echo '# the operator' >>{DEFAULT}")
    assert "Enabled already" in root.run(INSTALL)
    root.run(STATUS)
    assert not root.has("/usr/lib/python3/dist-packages/ganeti_hv_kvm/of_old.py")
    assert "# the operator" in root.run(f"cat {DEFAULT}")


def test_cut_short_it_stands_aside_and_says_how_to_mend_it(root: Root) -> None:
    root.run(INSTALL)
    root.run("truncate -s 300000 /usr/lib/python3/dist-packages/ganeti_hv_kvm/_native.abi3.so")
    told = root.run(STATUS, status=1)
    assert "original" in told
    assert "is cut short" in told
    assert "apt install --reinstall" in told
    root.run(INSTALL)
    root.run(STATUS)


def test_an_empty_python_file_is_noticed_too(root: Root) -> None:
    """Fault: it can be imported, and what was in it was missed in the middle of an operation."""
    root.run(INSTALL)
    root.run("truncate -s 0 /usr/lib/python3/dist-packages/ganeti_hv_kvm/hv_kvm/lifecycle/stop.py")
    told = root.run(STATUS, status=1)
    assert "stop.py has 0 bytes" in told
    assert "apt install --reinstall" in told
    root.run(INSTALL)
    root.run(STATUS)


def test_man_page_and_completions_have_each_command(root: Root) -> None:
    root.run(INSTALL)
    page = root.run("zcat /usr/share/man/man8/ganeti-hv-kvm.8.gz").replace("\\", "")
    fish = root.run("cat /usr/share/fish/vendor_completions.d/ganeti-hv-kvm.fish")
    for command in commands.HELP:
        assert f"ganeti-hv-kvm {command}" in page
        assert f"-a {command} " in fish
    assert "EXIT STATUS" in page
    guests = "/var/run/ganeti/kvm-hypervisor/pid"
    complete = """
        . /usr/share/bash-completion/completions/ganeti-hv-kvm
        COMP_WORDS=(ganeti-hv-kvm pause w) COMP_CWORD=2
        _shtab_ganeti_hv_kvm ganeti-hv-kvm w
        echo "${COMPREPLY[*]}"
    """
    root.run(f"mkdir -p {guests}; touch {guests}/web.example.com {guests}/db.example.com")
    assert root.run(f"bash -c '{complete}'").split() == ["web.example.com"]


def test_what_was_disabled_by_hand_stays_so(root: Root) -> None:
    root.run(INSTALL)
    root.run("ganeti-hv-kvm disable")
    assert "disabled by hand" in root.run(INSTALL)
    assert "original" in root.run(STATUS, status=1)
    assert "disabled by hand" in root.run(
        "dpkg-trigger --by-package=x /usr/share/ganeti; dpkg -a --configure"
    )
    assert "original" in root.run(STATUS, status=1)


def test_the_conffile_switches_it_off(root: Root) -> None:
    root.run(f"echo ENABLE=no >{DEFAULT}; dpkg --force-confold -i /mnt/new.deb")
    assert "original" in root.run(STATUS, status=1)


def test_enabled_once_ganeti_comes(root: Root) -> None:
    program = "/usr/sbin/ganeti-noded"
    root.run(f"mv {program} /noded")
    assert "no Ganeti here yet" in root.run(INSTALL)
    assert not root.has(HOOK)
    root.run(f"mv /noded {program}")
    told = root.run("dpkg-trigger --by-package=x /usr/share/ganeti; dpkg -a --configure")
    assert "Enabled" in told
    root.run(STATUS)
