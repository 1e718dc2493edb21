"""The parameters that an administrator is to think over."""

from __future__ import annotations

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm.ganeti import parameter_advice

GOOD = {
    **constants.HVC_DEFAULTS[constants.HT_KVM],
    constants.HV_CPU_TYPE: "Skylake-Server",
    constants.HV_VHOST_NET: True,
    constants.HV_MIGRATION_BANDWIDTH: 1000,
    constants.HV_DISK_TYPE: constants.HT_DISK_PARAVIRTUAL,
    constants.HV_NIC_TYPE: constants.HT_NIC_PARAVIRTUAL,
    constants.HV_VNC_BIND_ADDRESS: "127.0.0.1",
    constants.HV_KVM_SPICE_BIND: "",
    constants.HV_KVM_MACHINE_VERSION: "pc-i440fx-7.2",
}


def test_good_parameters():
    assert parameter_advice.assess(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu_type": ""}, ["cpu_type", "qemu64"]),
        ({"cpu_type": "kvm64"}, ["cpu_type", "kvm64"]),
        ({"cpu_type": "host"}, ["cpu_type", "host", "migrate"]),
        ({"vhost_net": False}, ["vhost_net"]),
        ({"migration_bandwidth": 32}, ["migration_bandwidth", "32 MiB/s"]),
        ({"disk_type": "ide"}, ["disk_type", "ide", "paravirtual"]),
        ({"nic_type": "e1000"}, ["nic_type", "e1000", "paravirtual"]),
        ({"vnc_bind_address": "0.0.0.0"}, ["vnc_bind_address", "vnc_tls"]),
        ({"spice_bind": "0.0.0.0"}, ["spice_bind", "spice_use_tls"]),
        ({"machine_version": ""}, ["machine_version", "empty"]),
        ({"machine_version": "pc"}, ["machine_version", "pc"]),
        ({"machine_version": "q35"}, ["machine_version", "q35"]),
        ({"machine_version": "microvm"}, ["machine_version", "microvm"]),
    ],
)
def test_one_sentence_for_each_that_is_not(changes, words):
    (sentence,) = parameter_advice.assess({**GOOD, **changes})
    assert all(word in sentence for word in words)


@pytest.mark.parametrize(
    "changes",
    [
        {"vnc_bind_address": "0.0.0.0", "vnc_tls": True},
        {"spice_bind": "0.0.0.0", "spice_use_tls": True},
        {"spice_bind": "127.0.0.1"},
        {"vnc_bind_address": ""},
    ],
)
def test_a_display_that_is_encrypted_or_stays_at_home(changes):
    assert parameter_advice.assess({**GOOD, **changes}) == []
