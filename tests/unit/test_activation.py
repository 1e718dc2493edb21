"""The finder, with a small Ganeti and a small replacement, each case in a Python of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ganeti_hv_kvm
from ganeti_hv_kvm import installation
from harness import paths

OUR_CODE = Path(ganeti_hv_kvm.__file__).parent

SMALL_GANETI = {
    "ganeti/__init__.py": "",
    "ganeti/constants.py": "HT_KVM = 'kvm'\nHVC_DEFAULTS = {'kvm': {'acpi': True}}\n",
    "ganeti/hypervisor/__init__.py": """\
        from ganeti.hypervisor import hv_base
        from ganeti.hypervisor import hv_kvm
        CLASS = hv_kvm.KVMHypervisor
        """,
    "ganeti/hypervisor/hv_base.py": "class BaseHypervisor: pass\n",
    "ganeti/hypervisor/hv_kvm/__init__.py": """\
        from ganeti.hypervisor import hv_base
        from ganeti.hypervisor.hv_kvm import monitor
        class KVMHypervisor(hv_base.BaseHypervisor): pass
        """,
    "ganeti/hypervisor/hv_kvm/monitor.py": "WHOSE = 'original'\n",
    "ganeti/hypervisor/hv_kvm/only_original.py": "",
}
SMALL_REPLACEMENT = {
    "ganeti_hv_kvm/_native.py": f"__version__ = {installation.VERSION!r}\n",
    "ganeti_hv_kvm/hv_kvm/__init__.py": """\
        def __getattr__(name):
            if name == "KVMHypervisor":
                from ganeti_hv_kvm.hv_kvm.hypervisor import KVMHypervisor
                return KVMHypervisor
            raise AttributeError(name)
        import ganeti.hypervisor
        from ganeti_hv_kvm.hv_kvm.hypervisor import KVMHypervisor
        """,
    "ganeti_hv_kvm/hv_kvm/hypervisor.py": """\
        from ganeti.hypervisor import hv_base
        from ganeti_hv_kvm.hv_kvm import monitor
        class KVMHypervisor(hv_base.BaseHypervisor):
            PARAMETERS = {"acpi": None}
        """,
    "ganeti_hv_kvm/hv_kvm/monitor.py": "WHOSE = 'replacement'\n",
    "ganeti_hv_kvm/hv_kvm/deep/__init__.py": "",
    "ganeti_hv_kvm/hv_kvm/deep/deeper.py": "",
}


def lay_out(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    lay_out(tmp_path, SMALL_GANETI | SMALL_REPLACEMENT)
    for name in ("__init__.py", "activation.py", "installation.py"):
        shutil.copy(OUR_CODE / name, tmp_path / "ganeti_hv_kvm")
    return tmp_path


def run(tree: Path, code: str, *, before: str = "") -> str:
    """Run code with the finder installed, and give what it printed."""
    script = (
        f"import sys; sys.path.insert(0, {str(tree)!r})\n{before}\n"
        "from ganeti_hv_kvm import activation; activation.install()\n" + textwrap.dedent(code)
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


SAME_OBJECTS = """
import ganeti.hypervisor, ganeti.hypervisor.hv_kvm.monitor as theirs
import ganeti_hv_kvm.hv_kvm as package, ganeti_hv_kvm.hv_kvm.monitor as ours
import ganeti.hypervisor.hv_kvm.deep.deeper as deeper, ganeti_hv_kvm.hv_kvm.deep.deeper as deeper2
assert theirs is ours and theirs.WHOSE == "replacement"
assert deeper is deeper2
assert ganeti.hypervisor.hv_kvm is package is sys.modules["ganeti.hypervisor.hv_kvm"]
assert ganeti.hypervisor.hv_kvm.monitor is package.monitor is ours
assert ganeti.hypervisor.CLASS is package.KVMHypervisor
assert package.__spec__.name == package.__name__ == "ganeti_hv_kvm.hv_kvm"
assert ours.__spec__.name == ours.__name__ == "ganeti_hv_kvm.hv_kvm.monitor"
"""


@pytest.mark.parametrize(
    "first",
    [
        "ganeti.hypervisor",
        "ganeti.hypervisor.hv_kvm",
        "ganeti.hypervisor.hv_kvm.monitor",
        "ganeti_hv_kvm.hv_kvm",
        "ganeti_hv_kvm.hv_kvm.hypervisor",
        "ganeti_hv_kvm.hv_kvm.monitor",
    ],
)
def test_both_names_give_the_same_objects_whichever_is_imported_first(
    tree: Path, first: str
) -> None:
    run(tree, f"import {first}\n{SAME_OBJECTS}")


def test_without_install_ganeti_keeps_its_original(tree: Path) -> None:
    code = "import ganeti.hypervisor; print(ganeti.hypervisor.CLASS.__module__)"
    assert run(tree, code, before=code).startswith("ganeti.hypervisor.hv_kvm\n")


def test_patching_one_name_patches_the_other(tree: Path) -> None:
    run(
        tree,
        """
        from unittest import mock
        import ganeti.hypervisor, ganeti_hv_kvm.hv_kvm.monitor as ours
        with mock.patch("ganeti.hypervisor.hv_kvm.monitor.WHOSE", "patched"):
            assert ours.WHOSE == "patched"
        with mock.patch("ganeti_hv_kvm.hv_kvm.monitor.WHOSE", "patched"):
            assert ganeti.hypervisor.hv_kvm.monitor.WHOSE == "patched"
        assert ours.WHOSE == "replacement"
        """,
    )


def test_reload_pickle_source_and_listing_work(tree: Path) -> None:
    run(
        tree,
        """
        import importlib, inspect, pickle, pkgutil
        import ganeti.hypervisor.hv_kvm.monitor as monitor
        from ganeti.hypervisor import hv_kvm
        cls = hv_kvm.KVMHypervisor
        assert pickle.loads(pickle.dumps(cls)) is cls
        assert "replacement" in inspect.getsource(monitor)
        monitor.WHOSE = "changed"
        assert importlib.reload(monitor) is monitor and monitor.WHOSE == "replacement"
        importlib.reload(hv_kvm)
        prefix = "ganeti.hypervisor.hv_kvm."
        names = [found.name for found in pkgutil.walk_packages(hv_kvm.__path__, prefix)]
        assert "ganeti.hypervisor.hv_kvm.deep.deeper" in names, names
        assert importlib.util.find_spec("ganeti.hypervisor.hv_kvm.monitor") is not None
        """,
    )


def test_submodules_that_only_the_original_has_are_not_mixed_in(tree: Path) -> None:
    run(
        tree,
        """
        import importlib.util
        import ganeti.hypervisor
        name = "ganeti.hypervisor.hv_kvm.only_original"
        assert importlib.util.find_spec(name) is None
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as err:
            assert err.name == name
        else:
            raise AssertionError(name)
        """,
    )


def test_other_modules_are_left_alone(tree: Path) -> None:
    code = """
        finder = activation.installed()
        for name in ("json", "ganeti", "ganeti.hypervisor", "ganeti.hypervisor.hv_kvmish",
                     "ganeti_hv_kvm.hv_kvm"):
            assert finder.find_spec(name) is None, name
        assert "ganeti_hv_kvm.hv_kvm" not in sys.modules
        """
    run(tree, code)


ALL_ORIGINAL = """
import ganeti.hypervisor, ganeti.hypervisor.hv_kvm.monitor, ganeti.hypervisor.hv_kvm.only_original
assert ganeti.hypervisor.CLASS.__module__ == "ganeti.hypervisor.hv_kvm"
assert ganeti.hypervisor.hv_kvm.monitor.WHOSE == "original"
theirs = [m for n, m in sys.modules.items() if n.startswith("ganeti.")]
assert not [m for m in theirs if "ganeti_hv_kvm" in m.__file__.split("/")], theirs
print(activation.installed().failure)
"""

FAULTS = {
    "native part missing": (
        {"ganeti_hv_kvm/_native.py": "raise ImportError('no such file')"},
        "no such file",
    ),
    "syntax error": ({"ganeti_hv_kvm/hv_kvm/monitor.py": "def"}, "SyntaxError"),
    "error while importing": ({"ganeti_hv_kvm/hv_kvm/monitor.py": "1 / 0"}, "ZeroDivisionError"),
    "no class": ({"ganeti_hv_kvm/hv_kvm/hypervisor.py": ""}, "KVMHypervisor"),
    "Ganeti without hv_base": (
        {
            "ganeti/hypervisor/hv_base.py": "",
            "ganeti/hypervisor/hv_kvm/__init__.py": "class KVMHypervisor: pass\n",
        },
        "BaseHypervisor",
    ),
    "Ganeti with a parameter that we do not know": (
        {"ganeti/constants.py": "HT_KVM = 'kvm'\nHVC_DEFAULTS = {'kvm': {'acpi': 1, 'warp': 9}}\n"},
        "does not know: warp",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_replacement_leaves_the_whole_original(tree: Path, fault: str) -> None:
    files, reason = FAULTS[fault]
    lay_out(tree, files)
    assert reason in run(tree, ALL_ORIGINAL)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_original_stays_whole_if_the_replacement_was_asked_for_first(
    tree: Path, fault: str
) -> None:
    files, reason = FAULTS[fault]
    lay_out(tree, files)
    ask_first = "try:\n import ganeti_hv_kvm.hv_kvm\nexcept Exception as err: print('failed:', err)"
    assert reason in run(tree, f"{ask_first}\n{ALL_ORIGINAL}")


def test_threads_that_import_at_once_see_whole_modules(tree: Path) -> None:
    # Slow modules, so that the threads meet inside one another's imports.
    for name in ("hypervisor.py", "monitor.py"):
        path = tree / "ganeti_hv_kvm/hv_kvm" / name
        path.write_text("import time; time.sleep(0.05)\n" + path.read_text())
    code = """
        import importlib, threading
        names = ["ganeti.hypervisor", "ganeti.hypervisor.hv_kvm",
                 "ganeti.hypervisor.hv_kvm.monitor"] * 5
        start, failures, classes = threading.Barrier(len(names)), [], set()
        def work(name):
            start.wait()
            try:
                module = importlib.import_module(name)
                if name.endswith("hv_kvm"):
                    classes.add(module.KVMHypervisor)
            except BaseException as err:
                failures.append(f"{name}: {err!r}")
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        [t.start() for t in threads]
        [t.join(30) for t in threads]
        assert not any(t.is_alive() for t in threads)
        assert not failures, failures
        assert len(classes) == 1, classes
        """
    for _ in range(5):
        run(tree, textwrap.dedent(code) + SAME_OBJECTS)


def test_install_and_uninstall_can_be_repeated(tree: Path) -> None:
    code = """
        before = list(sys.meta_path)
        activation.install()
        assert sys.meta_path == before
        activation.uninstall()
        activation.uninstall()
        assert len(sys.meta_path) == len(before) - 1 and activation.installed() is None
        import ganeti.hypervisor
        assert ganeti.hypervisor.CLASS.__module__ == "ganeti.hypervisor.hv_kvm"
        """
    run(tree, code)


@pytest.fixture
def broken_tree(tmp_path: Path) -> Path:
    """A replacement whose native part fails, and no small Ganeti."""
    lay_out(tmp_path, {"ganeti_hv_kvm/_native.py": "raise ImportError('wrong architecture')\n"})
    for name in ("__init__.py", "activation.py", "installation.py"):
        shutil.copy(OUR_CODE / name, tmp_path / "ganeti_hv_kvm")
    return tmp_path


WARNING = (
    "WARNING ganeti-hv-kvm cannot be used, Ganeti's own KVM module is: ImportError: wrong arch"
)


@pytest.mark.parametrize("generation", paths.GANETI_CODE)
def test_the_warning_reaches_ganetis_log_once(broken_tree: Path, generation: str) -> None:
    log = broken_tree / "node-daemon.log"
    code = f"""
        sys.path.insert(0, {str(paths.GANETI_CODE[generation])!r})
        from ganeti import hypervisor, utils
        plain = utils.log.SetupLogging
        assert utils.SetupLogging is not plain
        utils.SetupLogging({str(log)!r}, "ganeti-noded", console_logging=False)
        assert utils.SetupLogging is plain
        utils.SetupLogging({str(log)!r}, "ganeti-noded")
        """
    assert run(broken_tree, code) == ""
    lines = [line for line in log.read_text().splitlines() if "ganeti-hv-kvm" in line]
    assert len(lines) == 1
    assert WARNING in lines[0]


def test_a_log_that_is_set_up_already_gets_the_warning_at_once(broken_tree: Path) -> None:
    log = broken_tree / "jobs.log"
    code = f"""
        sys.path.insert(0, {str(paths.GANETI_CODE["3.0"])!r})
        from ganeti import utils
        plain = utils.SetupLogging
        plain({str(log)!r}, "job")
        from ganeti import hypervisor
        assert utils.SetupLogging is plain
        """
    run(broken_tree, code)
    assert log.read_text().count(WARNING) == 1
