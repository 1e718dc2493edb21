"""Wording of block devices for QEMU: storage URIs, nested properties, cache modes.

The module's name and its CamelCase functions are those of Ganeti 3.1; it works on 3.0 as well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from ganeti import constants, errors

# What Ganeti makes of an RBD disk. "/", ":" and "@" part pool, image, options and snapshot.
_RBD = r"rbd:(?P<pool>[\w.-]+)/(?P<image>[\w.-]+)"
# What Ganeti makes of a Gluster disk. The host may be an IPv6 address, in brackets or without.
_GLUSTER = r"gluster://(?P<host>[\w.:-]+|\[[\w.:]+\]):(?P<port>\d+)/(?P<volume>[^/]+)/(?P<path>.+)"

# cache mode -> (writeback, direct, no_flush), as QEMU documents its cache= modes
_CACHE_SETTINGS: Mapping[str, tuple[bool, bool, bool]] = {
    constants.HT_CACHE_NONE: (True, True, False),
    constants.HT_CACHE_WBACK: (True, False, False),
    constants.HT_CACHE_DEFAULT: (True, False, False),
    constants.HT_CACHE_WTHROUGH: (False, False, False),
}


def Escape(value: object) -> str:
    """A value as it stands inside a list of QEMU properties: QEMU reads ",," as one comma."""
    return str(value).replace(",", ",,")


def TranslateBoolToOnOff(value: object) -> str:
    """QEMU's word for a truth value: "on" or "off"."""
    return "on" if value else "off"


def ParseStorageUriToBlockdevParam(uri: str) -> dict[str, object]:
    """The -blockdev properties of a disk that QEMU reaches by itself (access mode userspace).

    Knows ``rbd:POOL/IMAGE`` and ``gluster://HOST:PORT/VOLUME/PATH``; raises HypervisorError for
    anything else.
    """
    if found := re.fullmatch(_RBD, uri):
        return {"driver": "rbd", **found.groupdict()}
    if found := re.fullmatch(_GLUSTER, uri):
        server = {"type": "inet", "host": found["host"].strip("[]"), "port": found["port"]}
        return {
            "driver": "gluster",
            "server": [server],
            "volume": found["volume"],
            "path": found["path"],
        }
    raise errors.HypervisorError(f"QEMU cannot be told to open the storage URI {uri!r}")


def _leaves(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    children: Iterator[tuple[object, object]]
    if isinstance(value, Mapping):
        children = iter(value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        children = iter(enumerate(value))
    else:
        yield path, TranslateBoolToOnOff(value) if isinstance(value, bool) else value
        return
    for key, child in children:
        yield from _leaves(child, (*path, str(key)))


def FlattenDict(d: Mapping[str, object], parent_key: str = "", sep: str = ".") -> dict[str, object]:
    """Nested properties as one level, in order: ``{"a": {"b": True}}`` gives ``{"a.b": "on"}``.

    Lists count from 0, as QEMU wants them: ``server.0.host``.
    """
    start = (parent_key,) if parent_key else ()
    return {sep.join(path): value for path, value in _leaves(d, start)}


def DictToQemuStringNotation(data: Mapping[str, object]) -> str:
    """Nested properties in QEMU's notation ``key=value,key.key=value``, commas doubled."""
    return ",".join(f"{key}={Escape(value)}" for key, value in FlattenDict(data).items())


def EffectiveCache(cache_type: str, dev_type: str) -> str:
    """The cache mode that a disk of this template gets.

    A disk that two nodes reach must not be cached by the host: after a migration the other node
    would not see what is still in this node's cache. RBD keeps its own caches coherent.
    """
    shared = dev_type in constants.DTS_EXT_MIRROR and dev_type != constants.DT_RBD
    if not shared or cache_type == constants.HT_CACHE_NONE:
        return cache_type
    logging.warning(
        "KVM: disk_cache=%s is not safe for the shared storage of template %s, using %s",
        cache_type,
        dev_type,
        constants.HT_CACHE_NONE,
    )
    return str(constants.HT_CACHE_NONE)


def GetCacheSettings(cache_type: str, dev_type: str) -> tuple[bool, bool, bool]:
    """What a cache mode means for a disk template: (writeback, direct, no_flush).

    Raises HypervisorError for an unknown cache mode.
    """
    try:
        return _CACHE_SETTINGS[EffectiveCache(cache_type, dev_type)]
    except KeyError:
        raise errors.HypervisorError(f"unknown disk_cache {cache_type!r}") from None
