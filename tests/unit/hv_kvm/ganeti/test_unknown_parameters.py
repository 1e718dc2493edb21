"""Parameters that are left to Ganeti's own module: which guests use them, what becomes of those."""

from __future__ import annotations

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti import parameters, settings, unknown_parameters

#: Of upstream's proposal for huge pages, which does not say what it does.
UNSETTLED = "mem_optimize"
DEFAULTS = constants.HVC_DEFAULTS[constants.HT_KVM]


class Own:
    """In place of Ganeti's own class."""


@pytest.fixture(autouse=True)
def ganeti_with_it(monkeypatch):
    monkeypatch.setitem(DEFAULTS, UNSETTLED, False)
    monkeypatch.setattr(unknown_parameters, "_own_class", lambda: Own)
    monkeypatch.delenv(settings.UNKNOWN_PARAMETERS.variable, raising=False)


def test_it_is_not_known():
    assert UNSETTLED in unknown_parameters.names(parameters._KNOWN)


@pytest.mark.parametrize(
    ("hvparams", "whose"), [({UNSETTLED: True}, Own), ({UNSETTLED: False}, None)]
)
def test_a_guest_that_has_it_on_goes_to_ganetis_own_module(hvparams, whose):
    assert unknown_parameters.own_class("web", [UNSETTLED], hvparams) is whose


def test_or_is_refused_where_the_operator_wants_that(monkeypatch):
    monkeypatch.setenv(settings.UNKNOWN_PARAMETERS.variable, "refuse")
    with pytest.raises(errors.HypervisorError, match=r"mem_optimize=True.*nothing was done"):
        unknown_parameters.own_class("web", [UNSETTLED], {UNSETTLED: True})
    assert unknown_parameters.own_class("web", [UNSETTLED], {UNSETTLED: False}) is None


def test_the_parameter_of_the_guests_start_counts_too():
    hvparams = ({UNSETTLED: False}, {UNSETTLED: True})
    assert unknown_parameters.own_class("web", [UNSETTLED], *hvparams) is Own


def test_one_that_is_on_by_default_is_in_every_guest(monkeypatch):
    monkeypatch.setitem(DEFAULTS, UNSETTLED, True)
    assert unknown_parameters.own_class("web", [UNSETTLED], {UNSETTLED: False}) is Own


@pytest.mark.parametrize(
    ("value", "says"), [("delegate", "by Ganeti's own KVM module"), ("refuse", "are not started")]
)
def test_what_verify_and_status_say(monkeypatch, value, says):
    monkeypatch.setenv(settings.UNKNOWN_PARAMETERS.variable, value)
    assert says in unknown_parameters.report([UNSETTLED])
    assert unknown_parameters.report([]) is None
