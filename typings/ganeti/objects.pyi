"""Objects of Ganeti's configuration, with the members that a hypervisor reads or sets."""

from collections.abc import Mapping
from typing import Any, Self

class ConfigObject:
    def __init__(self, **kwargs: Any) -> None: ...
    def ToDict(self, _with_private: bool = False) -> dict[str, Any]: ...
    @classmethod
    def FromDict(cls, val: Mapping[str, Any]) -> Self: ...
    def get(self, key: str, default: Any = None) -> Any: ...

class Cluster(ConfigObject):
    def FillHV(self, instance: Instance) -> dict[str, Any]: ...
    def FillBE(self, instance: Instance) -> dict[str, Any]: ...
    def SimpleFillNIC(self, nicparams: Mapping[str, Any]) -> dict[str, Any]: ...

class Node(ConfigObject):
    name: str
    uuid: str

class ConfigData(ConfigObject):
    cluster: Cluster
    instances: dict[str, Instance]
    nodes: dict[str, Node]
    disks: dict[str, Disk]

class NIC(ConfigObject):
    name: str | None
    uuid: str
    mac: str
    ip: str | None
    network: str | None
    nicparams: dict[str, Any]
    hvinfo: dict[str, Any] | None
    pci: int | None

class Disk(ConfigObject):
    name: str | None
    uuid: str
    dev_type: str
    logical_id: Any
    iv_name: str
    size: int
    mode: str
    params: dict[str, Any]
    hvinfo: dict[str, Any] | None
    pci: int | None

class Instance(ConfigObject):
    name: str
    uuid: str
    primary_node: str
    os: str
    hypervisor: str
    hvparams: dict[str, Any]
    beparams: dict[str, Any]
    nics: list[NIC]
    disks: list[str]
    network_port: int | None
    serial_no: int
    mtime: float
    tags: set[str]

    def GetTags(self) -> set[str]: ...

class MigrationStatus(ConfigObject):
    status: str
    transferred_ram: int | None
    total_ram: int | None
    postcopy_status: str | None

class InstanceConsole(ConfigObject): ...

def FillDict(
    defaults_dict: Mapping[str, Any],
    custom_dict: Mapping[str, Any],
    skip_keys: list[str] | None = None,
) -> dict[str, Any]: ...
