"""What the running Ganeti can do."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ganeti import constants, errors, pathutils

from ganeti_hv_kvm.hv_kvm import compat


def test_dialect_fits_the_ganeti_under_test() -> None:
    expected = {"3.0": compat.DRIVE, "3.1": compat.BLOCKDEV, "dev": compat.DEVELOPMENT}

    assert compat.DIALECT is expected[os.environ.get("GANETI_UNDER_TEST", "3.0")]
    assert compat.DIALECT.blockdev == compat.HAS_BLOCKDEV
    assert (compat.DISCARD_DEFAULT in constants.HT_VALID_DISCARD_TYPES) != compat.HAS_BLOCKDEV


def test_dialect_goes_by_what_the_modules_have() -> None:
    old, plain = SimpleNamespace(HT_DISCARD_DEFAULT="default"), SimpleNamespace()
    down_script = SimpleNamespace(KVM_NIC_SETUP="/script")

    assert compat.detect_dialect(old, plain) is compat.DRIVE
    assert compat.detect_dialect(plain, plain) is compat.BLOCKDEV
    assert compat.detect_dialect(plain, down_script) is compat.DEVELOPMENT


def test_nic_script() -> None:
    known = {getattr(pathutils, name, None) for name in ("KVM_IFUP", "KVM_NIC_SETUP")}

    assert compat.NIC_SETUP_SCRIPT in known - {None}


def test_extra_arguments() -> None:
    text = "-a  'b c'"

    assert compat.DRIVE.split_extra(text) == ["-a", "'b", "c'"]
    assert compat.BLOCKDEV.split_extra(text) == ["-a", "b c"]
    with pytest.raises(errors.HypervisorError, match="kvm_extra"):
        compat.BLOCKDEV.split_extra("-a 'b")


def test_bitarray_is_the_real_one() -> None:
    assert compat.bitarray("0101").count(True) == 2
