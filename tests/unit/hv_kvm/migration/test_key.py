"""The key of a migration: RFC 5869 with the standard's own numbers, and what it depends on."""

from __future__ import annotations

import hashlib
import hmac
from types import SimpleNamespace

import pytest
from ganeti import errors, pathutils

from ganeti_hv_kvm.hv_kvm.migration import key

SECRET, NUMBER = "s3cret" * 8, "ab" * 32


def hkdf(material: bytes, salt: bytes, purpose: bytes) -> bytes:
    """RFC 5869, for one block of output."""
    extracted = hmac.new(salt, material, hashlib.sha256).digest()
    return hmac.new(extracted, purpose + b"\x01", hashlib.sha256).digest()


def test_the_check_is_rfc_5869():
    # its first test case, cut after one block
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_it_is_hkdf():
    purpose = b"ganeti-hv-kvm migration tls-psk 1\0uuid-1\0web"
    expected = hkdf(SECRET.encode(), bytes.fromhex(NUMBER), purpose).hex()
    assert key.derive(SECRET, "uuid-1", "web", NUMBER) == expected


@pytest.mark.parametrize(
    "other",
    [
        ("other" * 8, "uuid-1", "web", NUMBER),
        (SECRET, "uuid-2", "web", NUMBER),
        (SECRET, "uuid-1", "web2", NUMBER),
        (SECRET, "uuid-1", "web", "cd" * 32),
    ],
)
def test_all_of_it_counts(other):
    assert key.derive(*other) != key.derive(SECRET, "uuid-1", "web", NUMBER)


def test_each_migration_has_a_number_of_its_own():
    numbers = {key.new_number() for _ in range(100)}
    assert len(numbers) == 100
    assert all(map(key.is_number, numbers))


@pytest.mark.parametrize(
    "value", ["", "ab", "AB" * 32, "zz" * 32, f"{NUMBER}\n", 7, None, [NUMBER]]
)
def test_what_is_no_number(value):
    assert not key.is_number(value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read"), ("", "cannot be read"), ("short\n", "too few for a secret")],
)
def test_a_node_without_the_secret(tmp_path, monkeypatch, content, reason):
    path = tmp_path / "secret"
    monkeypatch.setattr(pathutils, "CLUSTER_DOMAIN_SECRET_FILE", str(path))
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.HypervisorError, match=reason):
        key.of(SimpleNamespace(name="web", uuid="uuid-1"), NUMBER)
