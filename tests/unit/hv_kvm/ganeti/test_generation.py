"""What the running Ganeti can do."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ganeti import constants, errors, pathutils

from ganeti_hv_kvm.hv_kvm.ganeti import generation


def test_dialect_fits_the_ganeti_under_test() -> None:
    expected = {"3.0": generation.DRIVE, "3.1": generation.BLOCKDEV, "unknown": generation.BLOCKDEV}
    under_test = os.environ.get("GANETI_UNDER_TEST", "3.0")

    assert generation.DIALECT is expected.get(under_test, generation.DEVELOPMENT)
    assert generation.DIALECT.blockdev == generation.HAS_BLOCKDEV
    assert (
        generation.DISCARD_DEFAULT in constants.HT_VALID_DISCARD_TYPES
    ) != generation.HAS_BLOCKDEV


def test_dialect_goes_by_what_the_modules_have() -> None:
    old, plain = SimpleNamespace(HT_DISCARD_DEFAULT="default"), SimpleNamespace()
    down_script = SimpleNamespace(KVM_NIC_SETUP="/script")

    assert generation.detect_dialect(old, plain) is generation.DRIVE
    assert generation.detect_dialect(plain, plain) is generation.BLOCKDEV
    assert generation.detect_dialect(plain, down_script) is generation.DEVELOPMENT


def test_nic_script() -> None:
    known = {getattr(pathutils, name, None) for name in ("KVM_IFUP", "KVM_NIC_SETUP")}

    assert generation.NIC_SETUP_SCRIPT in known - {None}


def test_extra_arguments() -> None:
    text = "-a  'b c'"

    assert generation.DRIVE.split_extra(text) == ["-a", "'b", "c'"]
    assert generation.BLOCKDEV.split_extra(text) == ["-a", "b c"]
    with pytest.raises(errors.HypervisorError, match="kvm_extra"):
        generation.BLOCKDEV.split_extra("-a 'b")


def test_bitarray_is_the_real_one() -> None:
    assert generation.bitarray("0101").count(True) == 2
