"""That ours stands aside, or leaves guests to Ganeti's own module, is told where people look."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness import paths, upstream
from unit.test_activation import FAULTS, broken_tree, lay_out, run, tree

__all__ = ["broken_tree", "tree"]


VERIFIES = """\
    from ganeti.hypervisor import hv_base
    from ganeti.hypervisor.hv_kvm import monitor
    class KVMHypervisor(hv_base.BaseHypervisor):
        def Verify(self, hvparams=None):
            "As it is."
            return hvparams
    """


def test_gnt_cluster_verify_hears_that_ours_stands_aside(tree: Path) -> None:
    lay_out(tree, {"ganeti/hypervisor/hv_kvm/__init__.py": VERIFIES, **FAULTS["syntax error"][0]})
    code = """
        import importlib, inspect
        import ganeti.hypervisor
        from ganeti.hypervisor import hv_kvm
        from importlib.machinery import SourceFileLoader
        one = hv_kvm.KVMHypervisor()
        print(one.Verify())
        print(one.Verify(hvparams="no socat"))
        # nothing else of it is another
        assert type(hv_kvm.__loader__) is type(hv_kvm.__spec__.loader) is SourceFileLoader
        assert hv_kvm.__spec__.name == "ganeti.hypervisor.hv_kvm" and hv_kvm.__path__
        assert list(inspect.signature(one.Verify).parameters) == ["hvparams"]
        assert one.Verify.__doc__ == "As it is."
        assert "hv_base" in inspect.getsource(hv_kvm)
        importlib.reload(hv_kvm)
        assert hv_kvm.KVMHypervisor().Verify("x").count("ganeti-hv-kvm is enabled") == 1
        """
    alone, with_more = run(tree, code).splitlines()[:2]
    assert alone.startswith("ganeti-hv-kvm is enabled on this node, but cannot be used")
    assert "SyntaxError" in alone
    assert "'ganeti-hv-kvm status'" in alone
    assert with_more == f"no socat; {alone}"


def test_another_installation_than_the_enabled_one_has_no_say(tree: Path) -> None:
    code = """
        activation.uninstall()
        other = activation.install(7, "/somewhere/else")
        assert other.find_spec("ganeti.hypervisor.hv_kvm", []) is None
        import ganeti.hypervisor
        assert not hasattr(ganeti.hypervisor.CLASS, "Verify")
        """
    run(tree, code)


@pytest.mark.parametrize("generation", paths.GANETI_CODE)
def test_a_real_ganetis_verify_hears_it(broken_tree: Path, generation: str) -> None:
    code = f"""
        sys.path.insert(0, {str(paths.GANETI_CODE[generation])!r})
        from ganeti import hypervisor
        made = object.__new__(hypervisor.GetHypervisorClass("kvm"))
        print(made.Verify({{"kvm_path": "/nowhere/kvm"}}))
        """
    (told,) = run(broken_tree, code).splitlines()
    assert "/nowhere/kvm" in told
    assert "but cannot be used, and Ganeti's own KVM module is (ImportError: wrong arch" in told


def test_settings_reach_all_nodes_from_one_where_ours_stands_aside(tmp_path: Path) -> None:
    """The settings file may be what has it stand aside: Ganeti must go on copying it."""
    code = upstream.code(upstream.UNKNOWN, tmp_path)
    script = f"""
        import sys; sys.path.insert(0, {str(code)!r})
        from ganeti_hv_kvm import activation; activation.install()
        from ganeti import hypervisor
        chosen = hypervisor.GetHypervisorClass("kvm")
        base = [one for one in chosen.__mro__ if one.__name__ == "BaseHypervisor"][0]
        print(chosen.__module__, base.ANCILLARY_FILES)
        for files in chosen.GetAncillaryFiles():
            print(files)
        """
    for policy, module in (
        ("aside", "ganeti.hypervisor.hv_kvm"),
        ("delegate", "ganeti_hv_kvm.hv_kvm.hypervisor"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            env={**os.environ, "GANETI_HV_KVM_UNKNOWN_PARAMETERS": policy},
        )
        assert done.returncode == 0, done.stderr
        first, *files = done.stdout.splitlines()
        assert first == f"{module} []"
        assert len(files) == 2
        for line in files:
            assert line.count("/etc/ganeti/ganeti-hv-kvm.conf") == 1
            assert line.count("/etc/ganeti/kvm-vif-bridge") == 1


def test_parameters_that_are_not_known_are_in_each_log_once(tree: Path) -> None:
    path = tree / "ganeti_hv_kvm/hv_kvm/hypervisor.py"
    text = (
        '    @classmethod\n    def _ReportUnknownParameters(cls): return "it does not know warp"\n'
    )
    path.write_text(path.read_text() + text)
    said = run(tree, "import ganeti.hypervisor, logging; print(ganeti.hypervisor.CLASS)")
    assert said.count("ganeti-hv-kvm: it does not know warp") == 1
    assert "ganeti_hv_kvm.hv_kvm.hypervisor" in said


def test_a_real_ganeti_with_a_parameter_that_nobody_knows_gets_ours(tmp_path: Path) -> None:
    """Ganeti's own module is loaded beside it, while Ganeti waits for ours."""
    code = upstream.code(upstream.UNKNOWN, tmp_path)
    script = f"""
        import sys; sys.path.insert(0, {str(code)!r})
        from ganeti_hv_kvm import activation, original; activation.install()
        from ganeti import hypervisor
        chosen = hypervisor.GetHypervisorClass("kvm")
        own = original.load()
        names = [name for name in sys.modules if name.startswith(original.PRIVATE_NAME + ".")]
        for name in names:
            loader = type(sys.modules[name].__loader__)
            assert loader.__module__ == "ganeti_hv_kvm.original", (name, loader)
        print(chosen.__module__, len(names) > 4, "moon_phase" in own.KVMHypervisor.PARAMETERS)
        print(chosen._ReportUnknownParameters())
        from ganeti import utils
        for _ in range(2):
            utils.SetupLogging({str(tmp_path / "log")!r}, "ganeti-noded")
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    first, report = done.stdout.splitlines()
    assert first == "ganeti_hv_kvm.hv_kvm.hypervisor True True"
    assert report.startswith("this version of ganeti-hv-kvm does not know moon_phase: guests that")
    assert (tmp_path / "log").read_text().count(f"ganeti-hv-kvm: {report}") == 1
