"""Time limits from the environment, and that docs/settings.md knows each of them."""

from __future__ import annotations

import re

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm import settings
from harness import paths

LIMIT = settings.TimeLimit("GANETI_HV_KVM_TEST_TIMEOUT", 7.0)


def test_the_default_holds(monkeypatch):
    monkeypatch.delenv(LIMIT.variable, raising=False)
    assert LIMIT.seconds() == 7.0


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("0.25", 0.25), (" 90 ", 90.0)])
def test_the_environment_changes_it(monkeypatch, text, seconds):
    monkeypatch.setenv(LIMIT.variable, text)
    assert LIMIT.seconds() == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf", "1e999"])
def test_what_is_no_limit_is_logged(monkeypatch, caplog, text):
    monkeypatch.setenv(LIMIT.variable, text)
    assert LIMIT.seconds() == 7.0
    assert LIMIT.variable in caplog.text


@pytest.mark.parametrize("limit", settings._ALL, ids=lambda limit: limit.variable)
@pytest.mark.parametrize("text", ["", "5s", "nan", "-1", "inf", "1e9", "0x5", "\n5;"])
def test_a_slip_is_an_error_before_a_guest_is_touched(monkeypatch, limit, text):
    settings.check()
    monkeypatch.setenv(limit.variable, text)
    with pytest.raises(errors.HypervisorError, match=f"Nothing was done: {limit.variable} is '"):
        settings.check()


def test_nothing_may_be_a_limit_too(monkeypatch):
    monkeypatch.setenv(settings.REBOOT.variable, "0")
    assert settings.REBOOT.seconds() == 0.0


def test_the_document_knows_each_variable_and_its_default():
    document = (paths.PROJECT / "docs/settings.md").read_text()
    rows = dict(re.findall(r"^\| `(GANETI_HV_KVM_\w+)` \| `?([\w.]+)`? \|", document, re.MULTILINE))
    sources = [*paths.PROJECT.glob("python/**/*.py"), *paths.PROJECT.glob("src/**/*.rs")]
    used = {
        name for source in sources for name in re.findall(r"GANETI_HV_KVM_\w+", source.read_text())
    }
    assert set(rows) == used
    limits = [value for value in vars(settings).values() if isinstance(value, settings.TimeLimit)]
    assert set(limits) == set(settings._ALL)
    for limit in limits:
        assert float(rows[limit.variable]) == limit.default
