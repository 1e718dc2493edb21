"""Guests whose memory is to be of huge pages (mem_path), on a node with too few of them.

Upstream's proposed parameter fail_on_no_hp (pull request 1604) says what then: on, they do not
start; off, they start with ordinary memory. Under other Ganetis QEMU refuses, in its own words.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.command_line import memory_backing
from ganeti_hv_kvm.hv_kvm.host import memory

_STRICT: str | None = getattr(constants, "HV_FAIL_ON_NO_HP", None)
_FOLDER, _AT_ONCE = "-mem-path", "-mem-prealloc"


def fitted(name: str, command: Sequence[str], hvp: Mapping[str, object]) -> list[str]:
    """Give a guest's whole command as this node can run it now.

    What is stored keeps its words: on a node with pages enough the guest has them again. Neither
    the guest nor a migration notices.

    Args:
        name: the instance's, for the log.
        hvp: its parameters, with those of its start first.

    Raises:
        errors.HypervisorError: there are too few, and it is not to start without.
    """
    words = list(command)
    if not _STRICT or _STRICT not in hvp or _FOLDER not in words[:-1]:
        return words
    folder = words[words.index(_FOLDER) + 1]
    why = memory.why_too_few_in(folder, memory_backing.mebibytes(words))
    if why is None:
        return words
    if hvp[_STRICT]:
        raise errors.HypervisorError(
            f"{why} ({constants.HV_MEM_PATH}={folder}, and {_STRICT} is on). Free some, or let it"
            f" start with ordinary memory: gnt-instance modify -H {_STRICT}=False {name}"
        )
    logging.warning("Instance %s starts with ordinary memory: %s", name, why)
    place = words.index(_FOLDER)
    return [word for word in words[:place] + words[place + 2 :] if word != _AT_ONCE]
