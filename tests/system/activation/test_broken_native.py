"""A native part that cannot be loaded: Ganeti gets its whole original, and its log says why."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths

from .conftest import Venv

pytestmark = pytest.mark.only_3_0


def garble(library: Path) -> None:
    library.write_bytes(b"not a library at all" * 100)


def for_another_machine(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[18:20] = (243).to_bytes(2, "little")  # e_machine: RISC-V
    library.write_bytes(content)


def without_its_entry(library: Path) -> None:
    library.write_bytes(library.read_bytes().replace(b"PyInit__native", b"PyInit__notice"))


def cut_short(library: Path) -> None:
    """As a disk that is full during an upgrade does; run, it ends the process by SIGBUS."""
    library.write_bytes(library.read_bytes()[: library.stat().st_size * 2 // 3])


def cut_by_a_byte(library: Path) -> None:
    library.write_bytes(library.read_bytes()[:-1])


def zeros_at_its_end(library: Path) -> None:
    content = library.read_bytes()
    library.write_bytes(content[:-200_000] + bytes(200_000))


def empty(library: Path) -> None:
    library.write_bytes(b"")


def a_folder(library: Path) -> None:
    library.unlink()
    library.mkdir()


def dangling(library: Path) -> None:
    library.unlink()
    library.symlink_to("/nowhere/_native.so")


# A part that belongs to the Python files of another version, or Python files of none.
def python_of_another_version(library: Path) -> None:
    file = library.parent / "installation.py"
    text = file.read_text().replace('VERSION = "', 'VERSION = "9')
    file.write_text(text)
    without_record(library)


def a_python_file_is_missing(library: Path) -> None:
    (library.parent / "hv_kvm/migration/target.py").unlink()


def a_python_file_is_cut_short(library: Path) -> None:
    file = library.parent / "hv_kvm/hotplug/nic.py"
    file.write_text(file.read_text()[:-100])


def record_is_cut_short(library: Path) -> None:
    (record,) = library.parent.parent.glob("ganeti_hv_kvm-*.dist-info/RECORD")
    lines = [line for line in record.read_text().splitlines() if "_native." not in line]
    times = record.stat()
    record.write_text("\n".join(lines[:40]) + "\n")
    os.utime(record, ns=(times.st_atime_ns, times.st_mtime_ns))


def without_record(library: Path) -> None:
    (record,) = library.parent.parent.glob("ganeti_hv_kvm-*.dist-info/RECORD")
    record.unlink()


def as_of_debian(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """Where Debian's package put the files: with a record that pip does not take for its own."""

    def both(library: Path) -> None:
        (record,) = library.parent.parent.glob("ganeti_hv_kvm-*.dist-info/RECORD")
        lines = [one for one in record.read_text().splitlines() if one.startswith("ganeti_hv_kvm/")]
        record.with_name("RECORD.debian").write_text("\n".join(lines) + "\n")
        record.unlink()
        damage(library)

    return both


def a_python_file_is_empty(library: Path) -> None:
    """As a power cut leaves it: it can be imported, and has none of its functions."""
    (library.parent / "hv_kvm/lifecycle/power_button.py").write_text("")


def also_without_record(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """An image of a node may have lost it: what then still shows."""

    def both(library: Path) -> None:
        without_record(library)
        damage(library)

    return both


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "_native"),
    "missing, no record": (also_without_record(Path.unlink), "_native"),
    "no library": (garble, "invalid ELF header"),
    "empty": (empty, "invalid ELF header"),
    "a folder": (a_folder, "Is a directory"),
    "dangling": (dangling, "No such file or directory"),
    "another machine": (for_another_machine, "is for another kind of machine"),
    "cut short": (cut_short, "is cut short"),
    "cut short, no record": (also_without_record(cut_short), "is cut short"),
    "cut by a byte": (cut_by_a_byte, "is cut short"),
    "zeros at its end": (zeros_at_its_end, "is not as it was installed"),
    "no entry point": (without_its_entry, "is not as it was installed"),
    "no entry point, no record": (also_without_record(without_its_entry), "PyInit__native"),
    "another version": (python_of_another_version, "the native part is of version"),
    "a missing Python file": (a_python_file_is_missing, "target.py is missing"),
    "a short Python file": (a_python_file_is_cut_short, "were installed"),
    "a short Python file, Debian's record": (as_of_debian(a_python_file_is_cut_short), "installed"),
    "an empty Python file": (a_python_file_is_empty, "power_button.py has 0 bytes"),
    "an empty Python file, Debian's record": (
        as_of_debian(a_python_file_is_empty),
        "power_button.py has 0 bytes",
    ),
    "zeros at its end, Debian's record": (as_of_debian(zeros_at_its_end), "is not as it was"),
    "a short record": (record_is_cut_short, "RECORD is cut short"),
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


# Each fault with one of the Ganetis: which one makes no difference to it.
@pytest.mark.parametrize(
    ("generation", "fault"),
    [
        pytest.param(
            list(paths.GANETI_CODE)[number % 2],
            fault,
            marks=pytest.mark.thorough if number % 4 else [],
        )
        for number, fault in enumerate(FAULTS)
    ],
)
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
    if "record" not in fault or "missing" not in fault:
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


def test_all_of_it_without_ganeti(venv: Venv) -> None:
    cut_short(next(venv.package.glob("_native*.so")))
    code = "import ganeti_hv_kvm\ntry:\n ganeti_hv_kvm.OpenTap\n"
    done = venv.run(venv.python, "-c", code + "except ImportError as err:\n print(err)")
    assert (done.returncode, "is cut short" in done.stdout) == (0, True), done.stderr


def test_whole_with_debians_record_it_is_used(enabled: Venv) -> None:
    as_of_debian(lambda _: None)(next(enabled.package.glob("_native*.so")))
    assert enabled.status()[1]["module"] == "replacement"


def test_an_unfinished_upgrade_leaves_two_records(enabled: Venv) -> None:
    (record,) = enabled.package.parent.glob("ganeti_hv_kvm-*.dist-info/RECORD")
    old = record.parent.with_name("ganeti_hv_kvm-0.0.9.dist-info")
    old.mkdir()
    (old / "RECORD").write_text("ganeti_hv_kvm/__init__.py,sha256=abc,1\n")
    os.utime(old / "RECORD", (1, 1))
    assert enabled.status()[1]["module"] == "replacement"


def test_looking_is_a_small_part_of_an_import_of_ganeti(enabled: Venv) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(paths.GANETI_CODE["3.0"])!r})
from ganeti_hv_kvm import installation
def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start
def import_ganeti():
    from ganeti import constants, objects, utils
looking = min(seconds(installation.check) for _ in range(5))
print(looking / seconds(import_ganeti))
"""
    done = enabled.run(enabled.python, "-c", code)
    print(done.stdout)
    assert float(done.stdout) < 0.2, done
