"""The machine that a guest was born with, by name, where each module looks for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm import QmpConnection, is_q35
from harness import instance, paths

pytestmark = pytest.mark.rather_3_1

NAME = "machine1.example.com"


@pytest.mark.parametrize("binary", [paths.QEMU, paths.QEMU_10], ids=["7.2", "10.0"])
@pytest.mark.parametrize("wanted", ["", "pc", "q35"])
def test_the_runtime_file_names_what_qemu_is(hypervisor, binary, wanted):
    made = instance.instance(NAME, kvm_path=str(binary), machine_version=wanted)
    hypervisor.StartInstance(made, [], True)
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        machine = qmp.execute_qmp("qom-get", {"path": "/machine", "property": "type"})
    stored = json.loads(Path(hypervisor._InstanceKVMRuntime(NAME)).read_text())
    name = stored[2][constants.HV_KVM_MACHINE_VERSION]
    assert f"{name}-machine" == machine
    # by this name upstream's module tells which buses the guest has
    assert is_q35(name) == (wanted == "q35")
    # what is configured stays as it is
    assert made.hvparams[constants.HV_KVM_MACHINE_VERSION] == wanted
