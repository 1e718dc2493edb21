"""A TAP interface that closes itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ganeti_hv_kvm._native import OpenTap
from ganeti_hv_kvm.errors import TapError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Tap:
    """An open TAP interface: as long as it is open, the kernel keeps it.

    ``name`` may be a pattern such as "tap%d", or empty: the kernel's choice. ``queues`` is the
    number of queues; each has one descriptor in ``fds``, and with ``vhost`` one of /dev/vhost-net
    in ``vhost_fds``. All are close-on-exec. Raises `TapError`: then nothing is left.
    """

    def __init__(
        self, name: str = "", *, vnet_hdr: bool = True, vhost: bool = False, queues: int = 1
    ) -> None:
        if isinstance(queues, bool) or not isinstance(queues, int) or queues < 1:
            raise TapError(f"a TAP interface has one queue or more, not {queues!r}")
        features = {"vnet_hdr": vnet_hdr, "vhost": vhost, "mq": (queues > 1, queues)}
        self.name, self.fds, self.vhost_fds = OpenTap(name, features)

    @property
    def closed(self) -> bool:
        """Whether it holds no descriptor any more."""
        return not self.fds and not self.vhost_fds

    def detach(self) -> tuple[list[int], list[int]]:
        """Hand the descriptors (tap, vhost) over to the caller, who closes them from now on."""
        given = self.fds, self.vhost_fds
        self.fds, self.vhost_fds = [], []
        return given

    def close(self) -> None:
        """Close what is open; a second time does nothing."""
        tap, vhost = self.detach()
        for fd in (*vhost, *tap):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Tap {self.name!r}, {'closed' if self.closed else 'open'}>"
