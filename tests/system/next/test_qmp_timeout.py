"""kvm_qmp_timeout: how long Ganeti waits for a QEMU that does not answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from harness import instance

NAME = "patient1.example.com"


@pytest.fixture
def held(hypervisor, monkeypatch) -> Iterator[Any]:
    """An instance whose monitor another client has: QEMU answers nobody else."""
    monkeypatch.delenv(settings.QMP.variable, raising=False)
    made = instance.instance(NAME)
    hypervisor.StartInstance(made, [], True)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(hypervisor._InstanceQmpMonitor(NAME))
        client.recv(1)
        yield made


def refusal(call: Callable[[], object]) -> tuple[str, float]:
    """What a call says that fails, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(errors.HypervisorError) as failure:
        call()
    return str(failure.value), time.monotonic() - began


def test_the_instances_own_limit(hypervisor, held):
    waited = {}
    for seconds in (1, 4):
        held.hvparams["kvm_qmp_timeout"] = seconds
        text, waited[seconds] = refusal(lambda: hypervisor.BalloonInstanceMemory(held, 96))
        assert f"{seconds} s" in text
    assert waited[1] < waited[4]
    assert waited[4] >= 4


def test_the_nodes_setting_goes_first(hypervisor, held, monkeypatch):
    held.hvparams["kvm_qmp_timeout"] = 60
    monkeypatch.setenv(settings.QMP.variable, "1")
    text, _ = refusal(lambda: hypervisor.BalloonInstanceMemory(held, 96))
    assert "1 s" in text


def test_looking_at_an_instance_takes_the_parameters_that_are_given(hypervisor, held):
    waited = []
    for seconds in (1, 3):
        began = time.monotonic()
        info = hypervisor.GetInstanceInfo(NAME, {"kvm_qmp_timeout": seconds})
        waited.append(time.monotonic() - began)
        assert info[0] == NAME  # what its process tells
    assert waited[0] < waited[1]
    assert waited[1] >= 3
