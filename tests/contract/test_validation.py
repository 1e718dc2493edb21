"""Our checks between parameters accept and refuse what the original's do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from contract import both_modules
from harness import paths

HELP = (paths.PROJECT / "tests/data/qemu/7.2/help.txt").read_text()
MACHINES = (paths.PROJECT / "tests/data/qemu/7.2/machines.txt").read_text()
BINDS = ["", "0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "lo", "nonet0", "1.2.3", "256.1.1.1"]
SPICE = [
    "spice_ip_version",
    "spice_password_file",
    "spice_image_compression",
    "spice_jpeg_wan_compression",
    "spice_zlib_glz_wan_compression",
    "spice_streaming_video",
    "spice_use_tls",
]


def product(**values: list[Any]) -> Iterator[dict[str, Any]]:
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def requests(generation: str) -> Iterator[tuple[str, list[Any]]]:
    defaults = both_modules.facts(generation)["defaults"]

    def of(name: str, *more: Any, **values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
        for changed in product(**values):
            yield "validation", [name, defaults | changed, *more]

    yield from of(
        "check_boot_parameters",
        boot_order=["cdrom", "disk", "floppy", "network"],
        cdrom_image_path=["", None, "/cd.iso"],
        kernel_path=["", "/k"],
        root_path=["", "/dev/vda1"],
    )
    speeds = [*both_modules.facts(generation)["speeds"], 0, None, 1, 38401, "38400"]
    yield from of("check_console_parameters", serial_console=[True, False], serial_speed=speeds)
    yield from of(
        "check_disk_cache_parameters",
        disk_aio=["threads", "native", "io_uring", ""],
        disk_cache=["default", "none", "writeback", "writethrough"],
    )
    yield from of(
        "check_security_model",
        security_model=["none", "user", "pool", "other"],
        security_domain=["", None, "root"],
    )
    yield from of("check_spice_parameters", spice_bind=BINDS, spice_ip_version=[0, 4, 6])
    for name in SPICE:
        yield from of("check_spice_parameters", spice_bind=["", "::"], **{name: [0, 4, "x", True]})
    yield from of(
        "check_vnc_parameters", vnc_x509_verify=[True, False], vnc_x509_path=["", None, "/certs"]
    )
    yield from of(
        "validate_security_model",
        security_model=["none", "user", "pool"],
        security_domain=["root", "no-such-user"],
    )
    yield from of("validate_vnc_parameters", vnc_bind_address=BINDS)
    for text in (HELP, "-spicey\n", " -spice x\n", "-spice\n"):
        yield from of(
            "validate_spice_parameters", text, spice_bind=BINDS, vnc_bind_address=["", "::"]
        )
    machines = [line.split()[0] for line in MACHINES.splitlines()]
    yield from of("validate_machine_version", MACHINES, machine_version=["", *machines, "q36"])


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_same_outcome(generation: str) -> None:
    compared = both_modules.compare(generation, list(requests(generation)))
    differing = [
        (request, original, ours)
        for request, original, ours in compared
        if both_modules.outcome(original) != both_modules.outcome(ours)
    ]
    assert differing == []
    outcomes = {both_modules.outcome(ours) for _, _, ours in compared}
    assert outcomes == {True, "HypervisorError"}
    assert len(compared) > 300


def test_same_outcome_for_qemus_version() -> None:
    """Only 3.1 has this check; it returns nothing there, and True here as all others do."""
    versions = [("4.2.1", 4, 2, 1), ("5.0", 5, 0, 0), ("5.1.0", 5, 1, 0), ("10.0", 10, 0, 0)]
    asked: list[Any] = [
        ("validation", ["validate_disk_parameters", {"disk_aio": aio}, version])
        for aio in ("threads", "native", "io_uring")
        for version in versions
    ]
    for _, original, ours in both_modules.compare("3.1", asked):
        assert ("error" in ours) == ("error" in original)
        assert both_modules.outcome(ours) in (True, "HypervisorError")


INTENDED = {
    # A name is a name: the original takes it for a regular expression.
    "a dot matches any character": (
        ["validate_machine_version", {"machine_version": "pc-i440fx.7.2"}, MACHINES],
        (True, "HypervisorError"),
    ),
    "an alternative matches": (
        ["validate_machine_version", {"machine_version": "nonsense|pc"}, MACHINES],
        (True, "HypervisorError"),
    ),
    "a parenthesis breaks the expression": (
        ["validate_machine_version", {"machine_version": "pc("}, MACHINES],
        ("error", "HypervisorError"),
    ),
    # A folder is allowed by the parameter's own description, but fails as an interface's name.
    "VNC on a socket in a folder": (
        ["validate_vnc_parameters", {"vnc_bind_address": "/run/vnc"}],
        ("ValueError", True),
    ),
}


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
@pytest.mark.parametrize("difference", INTENDED)
def test_intended_differences(generation: str, difference: str) -> None:
    arguments, expected = INTENDED[difference]
    ((_, original, ours),) = both_modules.compare(generation, [("validation", list(arguments))])
    assert (both_modules.outcome(original), both_modules.outcome(ours)) == expected
