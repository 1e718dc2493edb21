"""We read in QEMU's --help what the original reads there, from QEMU 0.9.1 on."""

from __future__ import annotations

import pytest

from contract.command_line.comparison import GANETIS, QEMUS, answers, drive
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from harness import paths


def _help_texts() -> dict[str, str]:
    """The help texts that Ganeti's own tests use, and our recorded ones."""
    files = [
        file
        for suite in paths.GANETI_SUITE.values()
        for file in sorted((suite / "test/data").glob("kvm_*_help*.txt"))
    ]
    assert len(files) > 10
    texts = {str(file): file.read_text() for file in files}
    for version in QEMUS:
        file = f"{answers(version)}/help.txt"
        with open(file) as opened:
            texts[file] = opened.read()
    return texts


def _read(text: str) -> dict:
    facts = QemuFacts.from_texts("/usr/bin/kvm", help_text=text)
    switches = (
        "-qmp",
        "-netdev",
        "-display",
        "-machine",
        "-uuid",
        "-enable-kvm",
        "-disable-kvm",
    )
    return {
        "needs_boot_flag": facts.needs_boot_flag,
        "has_auto_read_only": facts.has_auto_read_only,
        "has_vhost": facts.has_vhost,
        "has_multiqueue": facts.has_multiqueue,
        "version": list(facts.version),
        **{switch: facts.has_switch(switch) for switch in switches},
    }


@pytest.mark.parametrize("ganeti", GANETIS)
def test_help_is_read_as_by_the_original(ganeti: str) -> None:
    texts = _help_texts()
    expected = dict(zip(texts, drive(ganeti, "help", given=list(texts.values())), strict=True))

    assert {name: _read(text) for name, text in texts.items()} == expected
