"""QEMU's notation of block devices."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import constants, errors
from hypothesis import given
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm import kvm_utils


@pytest.mark.parametrize(
    ("uri", "pool", "image"),
    [
        ("rbd:cephpool/image-1234-xyz", "cephpool", "image-1234-xyz"),
        ("rbd:vm-pool/disk", "vm-pool", "disk"),
        ("rbd:ssd.fast/disk.0", "ssd.fast", "disk.0"),
        ("rbd:p/Web_1", "p", "Web_1"),
    ],
)
def test_rbd(uri: str, pool: str, image: str) -> None:
    expected = {"driver": "rbd", "pool": pool, "image": image}

    assert kvm_utils.ParseStorageUriToBlockdevParam(uri) == expected


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("gluster://server-1.example:24007/vol/dir/disk", "server-1.example"),
        ("gluster://192.0.2.1:24007/vol/dir/disk", "192.0.2.1"),
        ("gluster://2001:db8::1:24007/vol/dir/disk", "2001:db8::1"),
        ("gluster://[2001:db8::1]:24007/vol/dir/disk", "2001:db8::1"),
    ],
)
def test_gluster(uri: str, host: str) -> None:
    assert kvm_utils.ParseStorageUriToBlockdevParam(uri) == {
        "driver": "gluster",
        "server": [{"type": "inet", "host": host, "port": "24007"}],
        "volume": "vol",
        "path": "dir/disk",
    }


@pytest.mark.parametrize(
    "uri", ["", "gopher://x/y", "rbd:pool", "rbd:a/b/c", "rbd:a/b@snap", "gluster://h/vol/path"]
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(errors.HypervisorError, match="storage URI"):
        kvm_utils.ParseStorageUriToBlockdevParam(uri)


def test_nesting_lists_and_truth_values() -> None:
    data = {"a": {"b": True, "c": {"d": 1}}, "e": False, "f": [{"g": "x"}, {"g": "y"}], "h": None}

    assert kvm_utils.FlattenDict(data) == {
        "a.b": "on",
        "a.c.d": 1,
        "e": "off",
        "f.0.g": "x",
        "f.1.g": "y",
        "h": None,
    }
    assert list(kvm_utils.FlattenDict({"x": {"y": 1}}, "top", "/")) == ["top/x/y"]


def test_commas_are_doubled() -> None:
    data = {"file": {"filename": "/a,b,,c"}}

    assert kvm_utils.DictToQemuStringNotation(data) == "file.filename=/a,,b,,,,c"


def read_properties(text: str) -> dict[str, str]:
    """What QEMU reads in a list of properties."""
    marked = text.replace(",,", "\0")
    pairs = (part.partition("=") for part in marked.split(",")) if marked else ()
    return {key: value.replace("\0", ",") for key, _, value in pairs}


@given(
    st.dictionaries(
        st.text("abc-", min_size=1),
        st.one_of(st.text("ab,=. /:"), st.booleans(), st.integers()),
        max_size=4,
    )
)
def test_qemu_reads_back_every_value(data: dict[str, Any]) -> None:
    expected = {
        key: {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
        for key, value in data.items()
    }

    # A value that ends with a comma meets the comma that follows; QEMU reads pairs from the left.
    assert read_properties(kvm_utils.DictToQemuStringNotation(data)) == expected


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("none", (True, True, False)),
        ("writeback", (True, False, False)),
        ("default", (True, False, False)),
        ("writethrough", (False, False, False)),
    ],
)
def test_cache_modes(mode: str, settings: tuple) -> None:
    assert kvm_utils.GetCacheSettings(mode, constants.DT_PLAIN) == settings
    assert kvm_utils.GetCacheSettings(mode, constants.DT_RBD) == settings
    assert kvm_utils.GetCacheSettings(mode, constants.DT_SHARED_FILE) == (True, True, False)


def test_overriding_the_cache_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    kvm_utils.GetCacheSettings("writeback", constants.DT_GLUSTER)

    assert "disk_cache=writeback" in caplog.text
    caplog.clear()
    kvm_utils.GetCacheSettings("none", constants.DT_GLUSTER)
    assert not caplog.text


def test_unknown_cache_mode() -> None:
    with pytest.raises(errors.HypervisorError, match="unsafe"):
        kvm_utils.GetCacheSettings("unsafe", constants.DT_PLAIN)
