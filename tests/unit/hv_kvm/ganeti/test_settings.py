"""Settings from the environment and the cluster's file, and what documents tell of them."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import KVMHypervisor
from ganeti_hv_kvm.hv_kvm.ganeti import settings, settings_file
from harness import paths

_WRITE = "GANETI_HV_KVM_WRITE_DOCS"
LIMIT = settings.Seconds("test_timeout", 7.0, "for these tests")
VARIABLE = "GANETI_HV_KVM_TEST_TIMEOUT"
TIMES = [setting for setting in settings.ALL if isinstance(setting, settings.Seconds)]
QEMU = {constants.HV_KVM_PATH: "/usr/bin/qemu-system-x86_64"}


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """The cluster's file, which is not there yet."""
    path = tmp_path / "ganeti-hv-kvm.conf"
    monkeypatch.setattr(settings_file, "PATH", str(path))
    for setting in (*settings.ALL, LIMIT):
        monkeypatch.delenv(setting.variable, raising=False)
    return path


def test_the_default_holds():
    assert LIMIT.value() == 7.0
    assert LIMIT.variable == VARIABLE
    assert settings.problems() == []
    assert not settings_file.content().exists


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("0.25", 0.25), (" 90 ", 90.0)])
def test_the_environment_changes_it(monkeypatch, text, seconds):
    monkeypatch.setenv(VARIABLE, text)
    assert LIMIT.value() == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf", "1e999"])
def test_what_is_no_limit_is_logged(monkeypatch, caplog, text):
    monkeypatch.setenv(VARIABLE, text)
    assert LIMIT.value() == 7.0
    assert VARIABLE in caplog.text


@pytest.mark.parametrize("setting", settings.ALL, ids=lambda setting: setting.name)
@pytest.mark.parametrize("text", ["", "5s", "nan", "-1", "inf", "1e9", "0x5", "\n5;"])
def test_a_slip_in_the_environment_is_an_error_before_a_guest_is_touched(
    monkeypatch, setting, text
):
    settings.check()
    monkeypatch.setenv(setting.variable, text)
    with pytest.raises(errors.HypervisorError, match=f"Nothing was done: {setting.variable} is '"):
        settings.check()
    assert [setting.variable in problem for problem in settings.problems()] == [True]


def test_nothing_may_be_a_limit_too(monkeypatch):
    monkeypatch.setenv(settings.REBOOT.variable, "0")
    assert settings.REBOOT.value() == 0.0


# The file


def test_the_file_sets_and_the_environment_wins(file, monkeypatch):
    file.write_text(
        "# of this cluster\n\n[hv-kvm]\nqmp_timeout = 7.5\n; more\nreboot_timeout: 0\n"
        "unknown_parameters=refuse\n"
    )
    assert settings.QMP.value() == 7.5
    assert settings.REBOOT.value() == 0.0
    assert settings.UNKNOWN_PARAMETERS.value() == "refuse"
    assert settings.LISTING.value() == settings.LISTING.default
    assert settings.problems() == []
    monkeypatch.setenv(settings.QMP.variable, "3")
    assert settings.QMP.value() == 3.0


def test_a_change_is_seen_at_once(file):
    file.write_text("[hv-kvm]\nqmp_timeout = 7\n")
    assert settings.QMP.value() == 7.0
    new = file.with_suffix(".new")  # as Ganeti copies it
    new.write_text("[hv-kvm]\nqmp_timeout = 8\n")
    os.utime(new, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    new.rename(file)
    assert settings.QMP.value() == 8.0
    file.unlink()
    assert settings.QMP.value() == 5.0


def test_it_is_read_once_for_each_version(file, monkeypatch):
    file.write_text("[hv-kvm]\nqmp_timeout = 7\n")
    reads = []
    read = settings_file._read
    monkeypatch.setattr(settings_file, "_read", lambda: (reads.append(1), read())[1])
    assert {settings.QMP.value() for _ in range(10)} == {7.0}
    assert len(reads) == 1


SLIPS = [
    ("qmp_timeout = 5\n", "line 1: 'qmp_timeout = 5': it stands outside of the section [hv-kvm]"),
    ("[hv-kvm]\nqmp_timeout\n", "line 2: 'qmp_timeout': that is no NAME = VALUE"),
    ("[hv-kvm]\nqmp_timeout =\n", "line 2: qmp_timeout is '', which is no number of seconds"),
    ("[hv-kvm]\nqmp_timeout = 5 # s\n", "line 2: qmp_timeout is '5 # s', which is no number"),
    ("[hv-kvm]\nqmp_timeout = 1e9\n", "line 2: qmp_timeout is '1e9', which is no number of"),
    ("[hv-kvm]\nqpm_timeout = 5\n", "line 2: there is no setting 'qpm_timeout'"),
    ("[hv-kvm]\nQMP_TIMEOUT = 5\n", "line 2: there is no setting 'QMP_TIMEOUT'"),
    ("[kvm]\nqmp_timeout = 5\n", "line 1: '[kvm]': the section is [hv-kvm]"),
    (
        "[hv-kvm]\nqmp_timeout = 5\nqmp_timeout = 6\n",
        "line 3: 'qmp_timeout = 6': it stands on line 2 already, and that one holds",
    ),
    (
        "[hv-kvm]\nunknown_parameters = refuze\n",
        "line 2: unknown_parameters is 'refuze', which is none of delegate, refuse, aside",
    ),
]


@pytest.mark.parametrize(("text", "says"), SLIPS, ids=range(len(SLIPS)))
def test_a_slip_in_the_file_is_told_and_the_default_holds(file, caplog, text, says):
    file.write_text(text + "\n[hv-kvm]\nlisting_timeout = 3\n")
    assert f"{file}, {says}" in settings.problems()[0]
    assert settings.QMP.value() == 5.0
    assert settings.UNKNOWN_PARAMETERS.value() == "delegate"
    assert settings.LISTING.value() == 3.0  # one slip costs no other setting
    settings.check()  # no guest suffers
    assert caplog.text.count(says) == 1  # told once, not at each look
    told = KVMHypervisor().Verify(QEMU)
    assert told is not None
    assert says in told


def _fill(file: Path, how: str) -> None:
    if how == "folder":
        file.mkdir()
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "loop":
        file.symlink_to(file)
    elif how == "binary":
        file.write_bytes(bytes(range(256)))
    elif how == "huge":
        file.write_bytes(b"[hv-kvm]\n" + b"#" * (1 << 20))
    elif how == "endless":
        file.symlink_to("/dev/zero")
    elif how == "nul":
        file.write_bytes(b"\0" * 100)


@pytest.mark.parametrize("how", ["folder", "pipe", "loop", "binary", "huge", "endless", "nul"])
def test_what_is_no_settings_file_costs_nothing_but_a_word(file, how):
    _fill(file, how)
    assert settings.QMP.value() == 5.0
    (problem,) = settings.problems()
    assert str(file) in problem
    assert "\0" not in problem
    settings.check()


def test_what_cannot_be_read_is_tried_again(file, monkeypatch):
    file.write_text("[hv-kvm]\nqmp_timeout = 7\n")
    read = settings_file._read

    def fails() -> str:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(settings_file, "_read", fails)
    assert settings.QMP.value() == 5.0
    assert "cannot be read: [Errno 24]" in settings.problems()[0]
    monkeypatch.setattr(settings_file, "_read", read)
    assert settings.QMP.value() == 7.0


def test_ganeti_copies_and_compares_it():
    every, optional = KVMHypervisor.GetAncillaryFiles()
    name = f"{KVMHypervisor.ANCILLARY_FILES_OPT[0].rpartition('/')[0]}/ganeti-hv-kvm.conf"
    assert name in every
    assert name in optional


# The documents


def _is_all() -> None:
    made = [value for value in vars(settings).values() if isinstance(value, settings.Setting)]
    assert set(made) == set(settings.ALL)


def _default(setting: Any) -> str:
    return setting.words(setting.default)


def table() -> str:
    """The rows of docs/settings.md."""
    rows = ["| setting | unit | default | bounds | what |", "|--|--|--|--|--|"]
    rows += [
        f"| `{one.name}` | {one.unit or '-'} | `{_default(one)}` | {one.bounds} | {one.text} |"
        for one in settings.ALL
    ]
    return "\n".join(rows) + "\n"


def sample() -> str:
    """The whole of packaging/ganeti-hv-kvm.conf: every setting, with its default, as a comment."""
    parts = [
        "# Settings of ganeti-hv-kvm for all nodes of the cluster. Copy this to",
        "# /etc/ganeti/ganeti-hv-kvm.conf on the master, take the # from what you change, and run",
        "#     gnt-cluster redist-conf",
        "# Each node reads it when it is needed: no daemon has to be restarted.",
        "# docs/settings.md says the same at more length.",
        "",
        f"[{settings_file.SECTION}]",
    ]
    for one in settings.ALL:
        text = f"{one.text[0].upper()}{one.text[1:]}."
        values = f"{one.unit}, {one.bounds}".removeprefix(", ")
        parts += ["", *(f"# {line}" for line in textwrap.wrap(text, 96, break_on_hyphens=False))]
        parts += [f"# ({values}; default {_default(one)})", f"#{one.name} = {_default(one)}"]
    return "\n".join(parts) + "\n"


def test_the_document_has_the_table():
    _is_all()
    document = paths.PROJECT / "docs/settings.md"
    text = document.read_text()
    found = re.search(r"^\| setting \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    assert found
    if os.environ.get(_WRITE):
        document.write_text(text.replace(found[0], table()))
    assert table() in document.read_text(), f"stale; run this test with {_WRITE}=1"


def test_the_sample_has_every_setting(file):
    path = paths.PROJECT / "packaging/ganeti-hv-kvm.conf"
    if os.environ.get(_WRITE):
        path.write_text(sample())
    assert path.read_text() == sample(), f"stale; run this test with {_WRITE}=1"
    # all of it taken, it changes nothing
    file.write_text(re.sub(r"^#(?=\w+ = )", "", sample(), flags=re.MULTILINE))
    content = settings_file.content()
    assert set(content.lines) == {setting.name for setting in settings.ALL}
    assert settings.problems() == []
    for setting in settings.ALL:
        assert setting.value() == setting.default


def test_no_variable_but_those_of_the_table():
    sources = [*paths.PROJECT.glob("python/**/*.py"), *paths.PROJECT.glob("src/**/*.rs")]
    used = {
        name for source in sources for name in re.findall(r"GANETI_HV_KVM_\w+", source.read_text())
    }
    assert used <= {setting.variable for setting in settings.ALL} | {"GANETI_HV_KVM_"}


# What must not be taken for its default


def test_a_setting_without_doubt(file, monkeypatch):
    setting = settings.MIGRATION_TLS
    assert setting.without_doubt() == "off"
    file.write_text("[hv-kvm]\nmigration_tls = require\nqmp_timeout = nonsense\n")
    assert setting.without_doubt() == "require"
    monkeypatch.setenv(setting.variable, "prefer")
    file.write_text("[hv-kvm]\nmigration_tls = requires\n")
    assert setting.without_doubt() == "prefer"


@pytest.mark.parametrize(
    "content", ["[hv-kvm]\nmigration_tls = requires\n", "migration_tls = require\n", None]
)
def test_a_slip_is_a_doubt(file, content):
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    with pytest.raises(errors.HypervisorError, match="migration_tls is to be cannot be told"):
        settings.MIGRATION_TLS.without_doubt()


def test_a_slip_in_the_environment_is_a_doubt(monkeypatch):
    monkeypatch.setenv(settings.MIGRATION_TLS.variable, "Require")
    with pytest.raises(errors.HypervisorError, match="migration_tls is to be cannot be told"):
        settings.MIGRATION_TLS.without_doubt()


@pytest.mark.parametrize(
    "text",
    ["0" * 60 + "5", "9" * 5000, "5_0", "\N{ARABIC-INDIC DIGIT FIVE}", "+5", "5.0", "0x5", "5 0"],
)
def test_a_whole_number_is_written_as_people_do(text):
    """Fault: of a long one the end was cut off, and the rest was "off"."""
    assert settings.MIGRATION_CHANNELS.why_not(text)
