"""Objects of Ganeti's configuration, with the members that a hypervisor reads or sets."""

from collections.abc import Mapping
from typing import Any, Self

class ConfigObject:
    def __init__(self, **kwargs: Any) -> None: ...
    def ToDict(self, _with_private: bool = False) -> dict[str, object]: ...
    @classmethod
    def FromDict(cls, val: Mapping[str, object]) -> Self: ...
    def get(self, key: str, default: Any = None) -> Any: ...

class Cluster(ConfigObject):
    def FillHV(self, instance: Instance) -> dict[str, object]: ...
    def FillBE(self, instance: Instance) -> dict[str, object]: ...
    def SimpleFillNIC(self, nicparams: Mapping[str, object]) -> dict[str, object]: ...

class Node(ConfigObject):
    name: str
    uuid: str

class NodeGroup(ConfigObject):
    def FillND(self, node: Node) -> dict[str, object]: ...

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
    nicparams: dict[str, object]
    hvinfo: dict[str, object] | None
    pci: int | None

class Disk(ConfigObject):
    name: str | None
    uuid: str
    dev_type: str
    logical_id: Any
    iv_name: str
    size: int
    mode: str
    params: dict[str, object]
    hvinfo: dict[str, object] | None
    pci: int | None

class Instance(ConfigObject):
    name: str
    uuid: str
    primary_node: str
    os: str
    hypervisor: str
    hvparams: dict[str, object]
    beparams: dict[str, object]
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
    # only the development version's
    migration_downtime: int

class InstanceConsole(ConfigObject): ...

def FillDict(
    defaults_dict: Mapping[str, object],
    custom_dict: Mapping[str, object],
    skip_keys: list[str] | None = None,
) -> dict[str, object]: ...
