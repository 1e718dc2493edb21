"""Migrations without an end: when the limit of the downtime rises, and when they are given up."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.migration import endless, status

NAME = "inst1"


@pytest.fixture(autouse=True)
def parameters(monkeypatch):
    """Those of upstream, under whichever Ganeti."""
    monkeypatch.setattr(endless, "_CEILING", "migration_downtime_max")
    monkeypatch.setattr(endless, "_THRESHOLD", "migration_cancel_threshold")


@pytest.fixture
def hypervisor(tmp_path, monkeypatch):
    monkeypatch.setattr(hv_kvm.KVMHypervisor, "_CTRL_DIR", str(tmp_path))
    made = hv_kvm.KVMHypervisor.__new__(hv_kvm.KVMHypervisor)
    made.qmp = mock.MagicMock()
    return made


def instance(downtime=30, most=0, threshold=0, caps=""):
    made = mock.MagicMock()
    made.name = NAME
    made.hvparams = {
        constants.HV_MIGRATION_DOWNTIME: downtime,
        "migration_downtime_max": most,
        "migration_cancel_threshold": threshold,
        constants.HV_KVM_MIGRATION_CAPS: caps,
    }
    return made


def told(transferred=250, total=100, postcopy=None):
    return objects.MigrationStatus(
        status=constants.HV_MIGRATION_ACTIVE,
        transferred_ram=transferred,
        total_ram=total,
        postcopy_status=postcopy,
    )


def raised_to(hypervisor):
    calls = hypervisor.qmp.SetMigrationDowntime.call_args_list
    return [call.args[0] for call in calls]


@pytest.mark.parametrize(
    ("downtime", "most", "noted", "limit"),
    [
        (30, 1000, 30, 33),
        (30, 1000, 33, 36),
        (30, 100, 95, 100),
        (30, 100, 100, None),
        (1, 10, 1, 2),
        (30, 30, 30, None),
        (30, 0, 30, None),
    ],
)
def test_a_step_is_a_tenth_at_least_a_millisecond_up_to_the_ceiling(
    hypervisor, downtime, most, noted, limit
):
    hypervisor._WriteMigrationState(NAME, {"downtime": noted, "last_step": 0})
    made = instance(downtime, most)
    hypervisor._MaybeBumpMigrationDowntime(made, told(), {"status": "active"})
    assert raised_to(hypervisor) == ([limit] if limit else [])
    assert hypervisor._ReadMigrationState(NAME)["downtime"] == limit or noted


@pytest.mark.parametrize(("since", "raised"), [(0, False), (29, False), (31, True), (-3600, True)])
def test_half_a_minute_lies_between_two_steps(hypervisor, since, raised):
    hypervisor._WriteMigrationState(NAME, {"downtime": 33, "last_step": time.time() - since})
    hypervisor._MaybeBumpMigrationDowntime(instance(30, 1000), told(), {"status": "active"})
    assert raised_to(hypervisor) == ([36] if raised else [])


@pytest.mark.parametrize(
    ("made", "progress", "state"),
    [
        (instance(30, 1000), told(transferred=200), "active"),
        (instance(30, 1000), told(total=0), "active"),
        (instance(30, 1000, caps="xbzrle:postcopy-ram"), told(), "active"),
        (instance(30, 1000), told(), "postcopy-active"),
        (instance(30, 1000), told(postcopy="postcopy-active"), "active"),
    ],
)
def test_where_more_downtime_is_of_no_use(hypervisor, made, progress, state):
    hypervisor._MaybeBumpMigrationDowntime(made, progress, {"status": state})
    assert raised_to(hypervisor) == []


def test_what_qemu_does_not_take_is_not_noted(hypervisor, caplog):
    hypervisor._WriteMigrationState(NAME, {"downtime": 30, "last_step": 0})
    hypervisor.qmp.SetMigrationDowntime.side_effect = errors.HypervisorError("gone")
    hypervisor._MaybeBumpMigrationDowntime(instance(30, 1000), told(), {"status": "active"})
    assert hypervisor._ReadMigrationState(NAME) == {"downtime": 30, "last_step": 0}
    assert "gone" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"downtime": 30}',
        '{"downtime": "30", "last_step": 0}',
        '{"downtime": -1, "last_step": 0}',
        '{"downtime": true, "last_step": 0}',
        '{"downtime": 2000001, "last_step": 0}',
        '{"downtime": 30, "last_step": true}',
        '{"downtime": 30, "last_step": NaN}',
        '{"downtime": 30, "last_step": 1e999}',
        # fault: no poll of the migration was answered any more
        pytest.param('{"downtime": 30, "last_step": 1%s}' % ("0" * 400), id="no float"),
        pytest.param("[" * 100000, id="deep"),
    ],
)
def test_a_note_that_is_none_means_the_parameters_limit(hypervisor, tmp_path, content, caplog):
    (tmp_path / f"{NAME}.migstate").write_text(content)
    hypervisor._MaybeBumpMigrationDowntime(instance(30, 1000), told(), {"status": "active"})
    assert raised_to(hypervisor) == [33]
    assert "migstate" in caplog.text


def test_without_a_note_the_limit_rises_by_one_step_all_the_same(hypervisor):
    assert hypervisor._ReadMigrationState(NAME) is None
    for _ in range(2):
        hypervisor._MaybeBumpMigrationDowntime(instance(30, 1000), told(), {"status": "active"})
    assert raised_to(hypervisor) == [33]


def test_where_the_note_lies(hypervisor, tmp_path):
    assert hypervisor._InstanceMigrationState(NAME) == f"{tmp_path}/{NAME}.migstate"
    hypervisor._WriteMigrationState(NAME, {"downtime": 42, "last_step": 1234567890.0})
    noted = json.loads((tmp_path / f"{NAME}.migstate").read_text())
    assert noted == {"downtime": 42, "last_step": 1234567890.0}


def test_a_migration_begins_with_the_parameters_limit(hypervisor):
    files = hypervisor._Files(NAME)
    endless.write(files, {"downtime": 500, "last_step": time.time()})
    endless.begin(files, instance(30, 1000).hvparams)
    assert endless.read(files) == {"downtime": 30, "last_step": 0}
    endless.begin(files, instance(30, 0).hvparams)
    assert endless.read(files) is None


@pytest.mark.parametrize(
    ("threshold", "transferred", "total", "cancelled"),
    [
        (0, 900, 100, False),
        (150, 140, 100, False),
        (150, 150, 100, False),
        (150, 151, 100, True),
        (150, 200, 0, False),
    ],
)
def test_cancelled_above_the_threshold(hypervisor, threshold, transferred, total, cancelled):
    made = instance(threshold=threshold)
    assert hypervisor._MaybeCancelStuckMigration(made, told(transferred, total)) is cancelled
    assert hypervisor.qmp.CancelMigration.called is cancelled


def test_a_refusal_to_cancel_is_logged(hypervisor, caplog):
    hypervisor.qmp.CancelMigration.side_effect = errors.HypervisorError("dead")
    assert hypervisor._MaybeCancelStuckMigration(instance(threshold=150), told()) is True
    assert "dead" in caplog.text


class Qemu:
    """Sends the memory of a guest, again and again."""

    def __init__(self, seconds=5, passes=3):
        self.told = []
        self.postcopy = 0
        self._ram = {
            "transferred": 250,
            "total": 100,
            "remaining": 11 << 20,
            "dirty-pages-rate": 51200,
            "page-size": 4096,
            "mbps": 8 * 31.457280,
            "dirty-sync-count": passes,
        }
        self._seconds = seconds

    def execute_qmp(self, command, arguments=None):
        if command == "query-migrate":
            return {"status": "active", "ram": self._ram, "total-time": self._seconds * 1000}
        if command == "migrate-start-postcopy":
            self.postcopy += 1
        else:
            assert command == "migrate-set-parameters"
            self.told.append(arguments["downtime-limit"])
        return {}


def get(hypervisor, qemu, made):
    guest = SimpleNamespace(
        name=NAME,
        instance=made,
        files=hypervisor._Files(NAME),
        pid=lambda: 7,
        monitor=lambda seconds: nullcontext(qemu),
    )
    return status.get(guest)


def test_the_status_raises_the_limit_and_says_so_where_it_can(hypervisor):
    qemu = Qemu()
    found = get(hypervisor, qemu, instance(30, 1000))
    assert found.status == "active"
    assert qemu.told == [33]
    known = hasattr(objects.MigrationStatus, "migration_downtime")
    assert getattr(found, "migration_downtime", None) == (33 if known else None)


def test_the_status_of_a_cancelled_one_says_why(hypervisor, monkeypatch):
    monkeypatch.setattr(status.source, "give_up", lambda guest: True)
    qemu = Qemu()
    with pytest.raises(errors.HypervisorError, match=r"250% .*migration_cancel_threshold=150"):
        get(hypervisor, qemu, instance(30, 1000, threshold=150))
    assert qemu.told == []


def test_one_that_completed_before_it_was_cancelled_is_complete(hypervisor, monkeypatch):
    monkeypatch.setattr(status.source, "give_up", lambda guest: False)
    assert get(hypervisor, Qemu(), instance(threshold=150)).status == "completed"


def test_without_parameters_nothing_is_done(hypervisor):
    qemu = Qemu()
    get(hypervisor, qemu, instance())
    assert qemu.told == []


# The same, and more, by the settings of the nodes


@pytest.fixture
def set_to(monkeypatch):
    def change(setting, value):
        monkeypatch.setenv(setting.variable, str(value))

    return change


@pytest.mark.parametrize(
    ("noted", "since", "limit"),
    [(30, 6, 45), (1, 6, 2), (45, 6, 67), (900, 6, 1000), (1000, 6, None), (30, 4, None)],
)
def test_the_settings_step_is_a_half_every_five_seconds(hypervisor, set_to, noted, since, limit):
    set_to(settings.MIGRATION_DOWNTIME_MAX, 1000)
    hypervisor._WriteMigrationState(NAME, {"downtime": noted, "last_step": time.time() - since})
    qemu = Qemu()
    get(hypervisor, qemu, instance(1))
    assert qemu.told == ([limit] if limit else [])


def test_the_instances_parameter_goes_first(hypervisor, set_to):
    set_to(settings.MIGRATION_DOWNTIME_MAX, 31)
    set_to(settings.MIGRATION_CANCEL_THRESHOLD, 101)
    qemu = Qemu()
    get(hypervisor, qemu, instance(30, 1000, threshold=500))
    assert qemu.told == [33]


@pytest.mark.parametrize("setting", [("THRESHOLD", 249), ("AFTER", 4.5)])
def test_given_up_with_the_reason_in_figures(hypervisor, monkeypatch, set_to, setting):
    name, value = setting
    set_to(getattr(settings, f"MIGRATION_CANCEL_{name}"), value)
    monkeypatch.setattr(status.source, "give_up", lambda guest: True)
    with pytest.raises(errors.HypervisorError) as failure:
        get(hypervisor, Qemu(), instance())
    said = str(failure.value)
    assert f"migration_cancel_{name.lower()}={value}" in said
    assert "11 MiB were left, the guest writes 200 MiB/s, 30 MiB/s are sent" in said


@pytest.mark.parametrize("setting", [("THRESHOLD", 250), ("AFTER", 5)])
def test_not_yet(hypervisor, set_to, setting):
    name, value = setting
    set_to(getattr(settings, f"MIGRATION_CANCEL_{name}"), value)
    assert get(hypervisor, Qemu(), instance()).status == "active"


def test_one_with_postcopy_goes_on_by_it_instead(hypervisor, set_to):
    set_to(settings.MIGRATION_CANCEL_AFTER, 4)
    qemu = Qemu(passes=1)
    found = get(hypervisor, qemu, instance(caps="postcopy-ram"))
    assert (found.postcopy_status, qemu.postcopy) == ("postcopy-active", 1)
    qemu = Qemu(passes=1, seconds=3)
    get(hypervisor, qemu, instance(caps="postcopy-ram"))
    assert qemu.postcopy == 0


@pytest.mark.parametrize(("most", "first"), [(99, 20), (20, 20), (5, 5)])
def test_a_guest_is_slowed_down_as_far_as_allowed(set_to, most, first):
    set_to(settings.MIGRATION_THROTTLE, most)
    qmp = mock.MagicMock()
    endless.slow_down(NAME, qmp)
    steps = {"max-cpu-throttle": most, "cpu-throttle-initial": first}
    wanted = [{"capability": "auto-converge", "state": True}]
    assert qmp.execute_qmp.mock_calls == [
        mock.call("migrate-set-parameters", steps),
        mock.call("migrate-set-capabilities", {"capabilities": wanted}),
    ]


def test_no_guest_is_slowed_down_by_itself():
    qmp = mock.MagicMock()
    endless.slow_down(NAME, qmp)
    endless.stop_slowing_down(NAME, qmp)
    assert qmp.mock_calls == []
