"""Restarting the node: handed to Ganeti's own way, which no test may take."""

from __future__ import annotations

from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm import KVMHypervisor


def test_it_is_ganetis_own_way(monkeypatch):
    asked = []
    monkeypatch.setattr(
        hv_base.BaseHypervisor, "LinuxPowercycle", classmethod(lambda cls: asked.append(cls))
    )
    KVMHypervisor.PowercycleNode()
    KVMHypervisor.PowercycleNode(hvparams={})
    assert asked == [KVMHypervisor, KVMHypervisor]
