"""vCPUs and memory for a guest that runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from ganeti import errors

from ganeti_hv_kvm.qmp_values import forms, memory_devices
from ganeti_hv_kvm.qmp_values.memory_devices import MemoryDevice
from ganeti_hv_kvm.qmp_values.run_state import quoted

from . import control, devices

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import HotpluggableCpu, MemorySize

HOTPLUGGABLE_CPUS = "query-hotpluggable-cpus"

_PERIPHERAL = f"{devices.PERIPHERAL}/"
# From the largest to the smallest; which of them a machine has is QEMU's to say.
_LEVELS = ("socket-id", "die-id", "cluster-id", "module-id", "core-id", "thread-id")
_NUMA_NODE = "node-id"
_MOST_VCPUS = 1 << 13
_DRIVER = re.compile(r"[\w.-]{1,100}-cpu")
_PATH = re.compile(r"/[\w./\[\]-]{1,200}")


class VcpuPlace(NamedTuple):
    """A place for a vCPU, taken or free, as QEMU's query-hotpluggable-cpus tells of it.

    Attributes:
        driver: the model of vCPU that goes there.
        props: its properties for -device, such as {"socket-id": 0, "core-id": 2, "thread-id": 0}.
        qom_path: the vCPU that is there; None where there is none.
    """

    driver: str
    props: Mapping[str, int]
    qom_path: str | None

    @property
    def devid(self) -> str:
        """The id that a vCPU here gets: the numbers of its levels."""
        numbers = [str(self.props[level]) for level in _LEVELS if level in self.props]
        return "-".join(["cpu", *numbers])

    @property
    def added_as(self) -> str | None:
        """The id of the device that was added here; None for a vCPU of the start, or none."""
        path = self.qom_path or ""
        return path.removeprefix(_PERIPHERAL) if path.startswith(_PERIPHERAL) else None

    @property
    def device(self) -> dict[str, object]:
        """What -device and ``device_add`` want for a vCPU here."""
        return {"driver": self.driver, "id": self.added_as or self.devid, **self.props}

    @property
    def order(self) -> tuple[int, ...]:
        """By which places are taken one after the other."""
        return tuple(self.props.get(level, 0) for level in _LEVELS)


def read_place(told: object) -> VcpuPlace:
    """Read one entry of query-hotpluggable-cpus.

    Raises:
        errors.HypervisorError: it is of another form than QMP's.
    """
    entry = told if isinstance(told, dict) else {}
    props, driver, path = entry.get("props"), entry.get("type"), entry.get("qom-path")
    if (
        not isinstance(props, dict)
        or not set(props) <= {*_LEVELS, _NUMA_NODE}
        or not any(level in props for level in _LEVELS)
        or not all(type(number) is int and 0 <= number < _MOST_VCPUS for number in props.values())
        or not isinstance(driver, str)
        or not _DRIVER.fullmatch(driver)
        or not (path is None or (isinstance(path, str) and _PATH.fullmatch(path)))
    ):
        raise errors.HypervisorError(
            f"QEMU tells of a place for a vCPU that cannot be: {quoted(str(told)[:200])}"
        )
    return VcpuPlace(driver, props, path)


def read_places(answer: object) -> list[VcpuPlace]:
    """Read an answer to query-hotpluggable-cpus, in the order in which places are taken.

    Raises:
        errors.HypervisorError: it is of another form than QMP's.
    """
    if not isinstance(answer, list) or len(answer) > _MOST_VCPUS:
        raise errors.HypervisorError(f"QEMU's answer to {HOTPLUGGABLE_CPUS} has another form")
    return sorted(map(read_place, answer), key=lambda place: place.order)


def query_hotpluggable_cpus(qmp: QmpConnection) -> list[HotpluggableCpu]:
    """Give the reply as it is: all places for vCPUs, taken and free."""
    answer = forms.objects(HOTPLUGGABLE_CPUS, qmp.execute_qmp(HOTPLUGGABLE_CPUS))
    return cast("list[HotpluggableCpu]", answer)


def vcpu_places(qmp: QmpConnection) -> list[VcpuPlace]:
    """Give all places for vCPUs, in the order in which they are taken."""
    return read_places(query_hotpluggable_cpus(qmp))


def add_vcpu(qmp: QmpConnection, place: VcpuPlace) -> None:
    """Give the guest a vCPU at a free place; its operating system brings it online."""
    devices.device_add(qmp, place.device)


def query_memory_size_summary(qmp: QmpConnection) -> MemorySize:
    """Ask how much memory the guest was started with, and was given since."""
    command = "query-memory-size-summary"
    return cast("MemorySize", forms.an_object(command, qmp.execute_qmp(command)))


def query_memory_devices(qmp: QmpConnection) -> list[MemoryDevice]:
    """Give the guest's virtio-mem devices."""
    return memory_devices.read(qmp.execute_qmp(memory_devices.COMMAND))


def request_memory(qmp: QmpConnection, devid: str, size: int) -> None:
    """Ask the guest to have so many bytes of a virtio-mem device."""
    control.qom_set(qmp, f"{_PERIPHERAL}{devid}", "requested-size", size)
