"""Parameters are given by their types, or it is said which is of another."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import hvparams
from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import told_of

HVP = {
    "word": "kvm",
    "none": None,
    "empty": "",
    "count": 3,
    "digits": "12",
    "list": [1],
    "endless": float("inf"),
}


def test_texts():
    assert hvparams.text(HVP, "word") == "kvm"
    assert hvparams.text_or_none(HVP, "none") is None
    assert hvparams.text_or_none(HVP, "missing") is None
    assert hvparams.text_or_none(HVP, "empty") == ""


def test_numbers():
    assert hvparams.number(HVP, "count") == 3
    assert hvparams.number(HVP, "digits") == 12
    assert [hvparams.number_or_zero(HVP, name) for name in ("none", "missing", "empty")] == [0] * 3


@pytest.mark.parametrize(
    ("read", "name", "what"),
    [
        (hvparams.text, "count", "count is no text, but 3"),
        (hvparams.text, "none", "none is no text, but None"),
        (hvparams.text_or_none, "list", "list is no text"),
        (hvparams.number, "list", "list is no number"),
        (hvparams.number_or_zero, "list", "list is no number"),
        (hvparams.number, "endless", "endless is no number, but inf"),
    ],
)
def test_another_type_is_an_error_of_ganetis_family(read, name, what):
    with pytest.raises(errors.HypervisorError, match=what):
        read(HVP, name)


def test_of_a_runtime_file_it_is_told_with_the_files_name():
    with pytest.raises(errors.HypervisorError, match=r"^/run/web does not describe .* no text"):  # noqa: SIM117
        with told_of("/run/web"):
            hvparams.text(HVP, "count")


@pytest.mark.parametrize("make", [lambda: int(float("inf")), lambda: float(10**400)])
def test_a_number_that_is_too_large_is_told_too(make):
    with pytest.raises(errors.HypervisorError, match=r"^/run/web does not describe"):  # noqa: SIM117
        with told_of("/run/web"):
            make()


def test_one_that_is_missing():
    with pytest.raises(KeyError):
        hvparams.number(HVP, "missing")
