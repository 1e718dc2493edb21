"""The cluster's settings file as an operator's editor, copy or hurry leaves it."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings, settings_file

LIMIT = settings.Seconds("test_timeout", 7.0, "for these tests")


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """The file, which is not there yet."""
    path = tmp_path / "ganeti-hv-kvm.conf"
    monkeypatch.setattr(settings_file, "PATH", str(path))
    for setting in settings.ALL:
        monkeypatch.delenv(setting.variable, raising=False)
    return path


def test_a_link_to_nothing_is_a_doubt(file):
    """Fault: it was taken for no file, and a guest that was to be encrypted was sent without."""
    file.symlink_to("/nowhere/ganeti-hv-kvm.conf")
    assert settings.QMP.value() == 5.0
    assert settings_file.content().exists
    (problem,) = settings.problems()
    assert problem == f"{file} cannot be read: it is a link, and where it points there is nothing"
    with pytest.raises(errors.HypervisorError, match="migration_tls is to be cannot be told"):
        settings.MIGRATION_TLS.without_doubt()


@pytest.mark.parametrize(
    "lines",
    [
        "migration_tls = off\nmigration_tls = require\n",
        "migration_tls = off\nmigration_tls require\n",
        "migration_tls = off\n[other]\nmigration_tls = require\n",
        "migration-tls = require\n",
        "Migration_TLS = require\n",
        "migration_tsl = require\n",
        "migration_tl = require\n",
    ],
)
def test_a_line_that_may_mean_another_value_is_a_doubt(file, lines):
    """Fault: the first line held, or the default, and a guest was sent without encryption."""
    file.write_text(f"[hv-kvm]\n{lines}")
    with pytest.raises(errors.HypervisorError, match=r"migration_tls is to be cannot.*, line \d"):
        settings.MIGRATION_TLS.without_doubt()


def test_a_setting_of_a_newer_version_is_no_doubt(file):
    file.write_text("[hv-kvm]\nmigration_tls_port = 5\nqmp_timeouts = 5\n")
    assert settings.MIGRATION_TLS.without_doubt() == "off"
    file.write_text("[hv-kvm]\nmigration_tls = require\nqmp_timeout\nqmp_timeout\n")
    assert settings.MIGRATION_TLS.without_doubt() == "require"


@pytest.mark.parametrize("between", ["\u2028", "\x0b", "\x0c", "\x1c", "\x85"])
def test_a_line_ends_where_an_editor_ends_it(file, between):
    """Fault: what stood in a comment behind such a character held."""
    text = f"[hv-kvm]\n# it was {between}migration_tls = off\nmigration_tls = require\nx = 1\n"
    file.write_text(text, encoding="utf-8")
    assert settings.MIGRATION_TLS.without_doubt() == "require"
    assert [problem.split(", ")[-1] for problem in settings.problems()] == [
        "line 4: there is no setting 'x'"
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_kind_of_line_end(file, end):
    file.write_bytes(f"[hv-kvm]{end}qmp_timeout = 7{end}".encode())
    assert (settings.QMP.value(), settings.problems()) == (7.0, [])


def test_a_byte_order_mark_is_no_word(file):
    """Fault: behind it stood no section, so that the whole file fell away."""
    file.write_bytes(b"\xef\xbb\xbf[hv-kvm]\nqmp_timeout = 7\n")
    assert (settings.QMP.value(), settings.problems()) == (7.0, [])


@pytest.mark.parametrize("name", ["\x1b[2J", "x" * 30_000])
def test_a_name_is_quoted_and_cut(file, caplog, name):
    """Fault: that of a line which stands twice went into the log as it was."""
    file.write_text(f"[hv-kvm]\n{name} = 1\n{name} = 2\n")
    settings.QMP.value()
    with pytest.raises(errors.HypervisorError) as refused:
        settings.NIC_MTU.without_doubt()
    for text in (*settings.problems(), *caplog.messages, str(refused.value)):
        assert text.isprintable()
        assert len(text) < 2000


def test_of_many_slips_some_are_told(file, caplog):
    """Fault: 64 KiB of them made a log, and an error, of three mebibytes."""
    file.write_text("a\n" * 32_000)
    settings.QMP.value()
    assert len(settings.problems()) == len(caplog.messages) < 20
    assert "31990 more lines" in settings.problems()[-1]
    with pytest.raises(errors.HypervisorError, match="31990 more lines") as refused:
        settings.NIC_MTU.without_doubt()
    assert len(str(refused.value)) < 4000


def test_a_device_in_its_place_is_not_opened(file, monkeypatch):
    """Fault: to open a watchdog, or a tape, does something."""
    file.symlink_to("/dev/null")
    monkeypatch.setattr(settings_file, "_read", lambda: pytest.fail("it was opened"))
    assert settings.problems() == [f"{file} cannot be read: it is no file"]


@pytest.mark.parametrize("text", ["1_0", "\N{ARABIC-INDIC DIGIT FIVE}", "\uff15", "+5", "5_"])
def test_seconds_are_written_as_people_do(text):
    """Fault: float() takes more than that."""
    assert LIMIT.why_not(text)


@pytest.mark.parametrize(("text", "seconds"), [("5.", 5), (".5", 0.5), ("1e2", 100), ("2E1", 20)])
def test_seconds_have_many_forms_all_the_same(text, seconds):
    assert LIMIT.parse(text) == seconds
