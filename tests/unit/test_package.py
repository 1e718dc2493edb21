"""What `import ganeti_hv_kvm` costs and gives, without Ganeti on the path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ganeti_hv_kvm

PACKAGE_HOME = Path(ganeti_hv_kvm.__file__).parents[1]


def run_python(code: str) -> str:
    """Run code where our package can be imported, and Ganeti cannot."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE_HOME)!r})\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/"
    ).stdout


def test_import_loads_neither_ganeti_nor_the_native_part_nor_anything_else() -> None:
    code = (
        "before = set(sys.modules)\n"
        "import ganeti_hv_kvm, json\n"
        "without = set(sys.modules)\n"
        "print(json.dumps(sorted(n for n in without - before if 'ganeti' in n)))"
    )
    assert json.loads(run_python(code)) == ["ganeti_hv_kvm"]
    code = "b = set(sys.modules); import ganeti_hv_kvm; print(set(sys.modules) - b)"
    assert run_python(code) == "{'ganeti_hv_kvm'}\n"


def test_every_listed_name_can_be_had_without_ganeti() -> None:
    code = (
        "import ganeti_hv_kvm as package\n"
        "missing = [n for n in package.__all__ if not hasattr(package, n)]\n"
        "print(missing, 'ganeti' in sys.modules)"
    )
    assert run_python(code) == "[] False\n"


@pytest.mark.parametrize(
    "name",
    [
        *("OpenTap", "_OpenTap", "_GetTunFeatures", "_ProbeTapVnetHdr", "_ProbeTapMqVirtioNet"),
        *("TUNSETIFF", "TUNGETIFF", "TUNGETFEATURES", "IFF_TAP", "IFF_NO_PI", "IFF_VNET_HDR"),
        *("IFF_ONE_QUEUE", "IFF_MULTI_QUEUE", "QmpConnection", "QmpMessage", "QmpEvent"),
        *("QmpCommandNotSupported", "QmpTimeoutError", "HypervisorError", "TapError"),
    ],
)
def test_tap_and_qmp_names(name: str) -> None:
    assert name in ganeti_hv_kvm.__all__
    assert name in dir(ganeti_hv_kvm)
    assert getattr(ganeti_hv_kvm, name) is getattr(ganeti_hv_kvm, name)


def test_names_are_those_of_the_modules_below() -> None:
    from ganeti_hv_kvm import _native, errors

    assert ganeti_hv_kvm.QmpConnection is _native.QmpConnection
    assert ganeti_hv_kvm.QmpTimeoutError is errors.QmpTimeoutError


def test_version_is_text_with_numbers() -> None:
    assert [part.isdigit() for part in ganeti_hv_kvm.__version__.split(".")[:2]] == [True, True]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = ganeti_hv_kvm.Nonsense  # type: ignore[attr-defined]


def test_python_and_rust_are_of_one_version() -> None:
    from ganeti_hv_kvm import _native, installation

    assert _native.__version__ == installation.VERSION
    manifest = (PACKAGE_HOME.parent / "Cargo.toml").read_text()
    assert f'\nversion = "{installation.VERSION}"\n' in manifest
