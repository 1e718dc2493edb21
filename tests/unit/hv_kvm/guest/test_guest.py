"""How long one call to a guest's QEMU may take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.migration import side


@pytest.fixture(autouse=True)
def parameter(monkeypatch):
    """kvm_qmp_timeout, under whichever Ganeti, on a node without settings."""
    monkeypatch.setattr(settings, "_QMP_PARAMETER", "kvm_qmp_timeout")
    for limit in settings.ALL:
        monkeypatch.delenv(limit.variable, raising=False)


def guest(**hvparams):
    seams = SimpleNamespace(
        qmp_connection=lambda path: SimpleNamespace(timeout=settings.QMP.value()),
        pid_alive=lambda name: ("", 0, False),
    )
    files = SimpleNamespace(qmp="socket", name="web")
    return Guest(SimpleNamespace(hvparams=hvparams), files, seams)


@pytest.mark.parametrize(
    ("hvparams", "seconds"),
    [
        ({}, 5.0),
        ({"kvm_qmp_timeout": 5}, 5.0),
        ({"kvm_qmp_timeout": 90}, 90.0),
        ({"kvm_qmp_timeout": 0}, 5.0),
    ],
)
def test_the_instances_parameter(hvparams, seconds):
    assert guest(**hvparams).monitor().timeout == seconds


def test_the_nodes_setting_goes_first(monkeypatch):
    monkeypatch.setenv(settings.QMP.variable, "7")
    assert guest(kvm_qmp_timeout=90).monitor().timeout == 7.0
    assert settings.configured_qmp_seconds({"kvm_qmp_timeout": 90}) is None


def test_who_asks_for_a_time_gets_it():
    assert guest(kvm_qmp_timeout=90).monitor(2.0).timeout == 2.0


def test_a_guest_of_which_only_the_name_is_known():
    known_by_name = guest()
    known_by_name.instance = None
    assert known_by_name.monitor().timeout == 5.0


def test_a_ganeti_without_the_parameter(monkeypatch):
    monkeypatch.setattr(settings, "_QMP_PARAMETER", None)
    assert guest(kvm_qmp_timeout=90).monitor().timeout == 5.0


@pytest.mark.parametrize(("wish", "seconds"), [(5, 60.0), (90, 90.0)])
def test_a_migration_has_its_own_patience_or_more(wish, seconds):
    assert side.monitor(guest(kvm_qmp_timeout=wish)).timeout == seconds


def test_unless_the_node_has_a_limit_for_it(monkeypatch):
    monkeypatch.setenv(settings.MIGRATION.variable, "2")
    assert side.monitor(guest(kvm_qmp_timeout=90)).timeout == 2.0
