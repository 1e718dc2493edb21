"""How much memory a guest gets at its start."""

from __future__ import annotations

import pytest
from ganeti import constants
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.lifecycle import balloon


@pytest.mark.parametrize(
    ("minimum", "maximum", "free", "given"),
    [
        (512, 1024, 4096, 1024),  # plenty
        (512, 1024, 700, 700),  # what there is
        (512, 1024, 100, 512),  # never less than the minimum
        (1024, 1024, 100, 1024),  # nothing to choose
    ],
)
def test_startup_memory(monkeypatch, minimum, maximum, free, given):
    node = staticmethod(lambda: {"memory_free": free})
    monkeypatch.setattr(hv_base.BaseHypervisor, "GetLinuxNodeInfo", node)
    beparams = {constants.BE_MINMEM: minimum, constants.BE_MAXMEM: maximum}
    assert balloon.startup_memory(beparams) == given


def test_a_fixed_size_does_not_look_at_the_node(monkeypatch):
    def fail():
        raise AssertionError("nobody needs to know")

    monkeypatch.setattr(hv_base.BaseHypervisor, "GetLinuxNodeInfo", staticmethod(fail))
    assert balloon.startup_memory({constants.BE_MINMEM: 128, constants.BE_MAXMEM: 128}) == 128
