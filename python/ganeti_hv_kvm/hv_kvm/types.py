"""A vCPU that was added to a guest, as upstream's prototype of vCPU hot-plug names it.

Nothing here needs it: ``qemu.verbs.growth`` tells of places for vCPUs. It is for site code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ganeti import errors

from .qemu.verbs.growth import VcpuPlace, read_place

_LEVELS = {"socket-id": "socket_id", "core-id": "core_id", "thread-id": "thread_id"}


class QMPVCPUItem(NamedTuple):
    """A place for a vCPU, by the three levels of a topology that Ganeti knows.

    Attributes:
        cpu_id: the device's id.
        driver: the model of vCPU that goes there.
    """

    cpu_id: str
    driver: str
    socket_id: int
    core_id: int
    thread_id: int

    def to_dict(self) -> dict[str, object]:
        """Give the members by their names."""
        return self._asdict()

    def to_qmp_vcpu(self) -> dict[str, object]:
        """Give the arguments of QMP's ``device_add``."""
        places = {level: getattr(self, member) for level, member in _LEVELS.items()}
        return {"id": self.cpu_id, "driver": self.driver, **places}

    @staticmethod
    def from_dict(items: Mapping[str, Any]) -> QMPVCPUItem:
        """Take what ``to_dict`` gave."""
        return QMPVCPUItem(**items)

    @staticmethod
    def from_qmp_vcpu(vcpu: Mapping[str, object]) -> QMPVCPUItem:
        """Take an entry of QMP's query-hotpluggable-cpus.

        Raises:
            errors.HypervisorError: it is of another form than QMP's, or has other levels.
        """
        place: VcpuPlace = read_place(vcpu)
        if set(place.props) != set(_LEVELS):
            raise errors.HypervisorError(
                f"a place for a vCPU has the levels {', '.join(sorted(place.props))}, and not"
                f" {', '.join(sorted(_LEVELS))} alone"
            )
        numbers = {member: place.props[level] for level, member in _LEVELS.items()}
        return QMPVCPUItem(str(place.device["id"]), place.driver, **numbers)
