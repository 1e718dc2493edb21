"""A native part that cannot be loaded: Ganeti gets its whole original, and its log says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths

from .conftest import Venv


def garble(library: Path) -> None:
    library.write_bytes(b"not a library at all" * 100)


def for_another_machine(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[18:20] = (243).to_bytes(2, "little")  # e_machine: RISC-V
    library.write_bytes(content)


def without_its_entry(library: Path) -> None:
    library.write_bytes(library.read_bytes().replace(b"PyInit__native", b"PyInit__notive"))


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "_native"),
    "no library": (garble, "invalid ELF header"),
    "another machine": (for_another_machine, "cannot open shared object file"),
    "no entry point": (without_its_entry, "PyInit__native"),
}

WHOLE_ORIGINAL = """
import sys
from ganeti import hypervisor, utils
import ganeti.hypervisor.hv_kvm.monitor
import ganeti.hypervisor.hv_kvm.netdev
import ganeti.hypervisor.hv_kvm.validation
assert hypervisor.GetHypervisorClass("kvm").__module__ == "ganeti.hypervisor.hv_kvm"
for name, module in sys.modules.items():
    if name.startswith("ganeti.hypervisor"):
        assert "/ganeti/hypervisor/" in module.__file__, name
        assert module.__name__ == name
utils.SetupLogging({log!r}, "ganeti-noded")
utils.SetupLogging({log!r}, "ganeti-noded")
"""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("generation", paths.GANETI_CODE)
def test_original_and_warning(enabled: Venv, tmp_path: Path, generation: str, fault: str) -> None:
    damage, reason = FAULTS[fault]
    damage(next(enabled.package.glob("_native*.so")))
    log = tmp_path / "node-daemon.log"
    done = enabled.ganeti(generation, WHOLE_ORIGINAL.replace("{log!r}", repr(str(log))))
    assert (done.returncode, done.stderr) == (0, "")
    warnings = [line for line in log.read_text().splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "ganeti-hv-kvm cannot be used, Ganeti's own KVM module is" in warnings[0]
    assert reason in warnings[0]

    status, answer = enabled.status(generation)
    assert (status, answer["module"]) == (1, "original")
    assert reason in answer["why"]
    assert reason in answer["facts"]["native_error"]


def test_the_warning_of_a_real_program_is_in_its_log(enabled: Venv, tmp_path: Path) -> None:
    garble(next(enabled.package.glob("_native*.so")))
    node = tmp_path / "node1.example.com"
    (node / "var/log/ganeti").mkdir(parents=True)
    (node / "etc/ganeti").mkdir(parents=True)
    done = enabled.run(
        "env",
        f"GANETI_ROOTDIR={node}",
        "GANETI_HOSTNAME=node1.example.com",
        enabled.python,
        "/usr/sbin/gnt-cluster",
        "getmaster",
    )
    # It finds no cluster, and has set up its log before that.
    assert "ssconf_master_node" in done.stderr
    log = (node / "var/log/ganeti/commands.log").read_text()
    assert log.count("WARNING ganeti-hv-kvm cannot be used") == 1
