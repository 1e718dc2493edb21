"""The base of all hypervisors, and the checks of their parameters."""

from collections.abc import Callable, Collection
from typing import Any, ClassVar, TypeAlias

from ganeti import objects

#: Required; check of the syntax and its text; check on the node and its text.
Check: TypeAlias = tuple[
    bool, Callable[[Any], Any] | None, str | None, Callable[[Any], Any] | None, str | None
]

def __getattr__(name: str) -> Check: ...
def ParamInSet(required: bool, my_set: Collection[object]) -> Check: ...
def GenerateTapName() -> str: ...
def ConfigureNIC(
    cmd: list[str], instance: objects.Instance, seq: int, nic: objects.NIC, tap: str, **kwargs: Any
) -> None: ...
def DeConfigureNIC(
    cmd: list[str], instance: objects.Instance, seq: int, nic: objects.NIC, tap: str
) -> None: ...

class HvInstanceState:
    RUNNING: int
    SHUTDOWN: int

class BaseHypervisor:
    PARAMETERS: ClassVar[dict[str, Check]]
    ANCILLARY_FILES: ClassVar[list[str]]
    ANCILLARY_FILES_OPT: ClassVar[list[str]]
    CAN_MIGRATE: ClassVar[bool]

    @classmethod
    def CheckParameterSyntax(cls, hvparams: dict[str, object]) -> None: ...
    @classmethod
    def ValidateParameters(cls, hvparams: dict[str, object]) -> None: ...
    @staticmethod
    def GetLinuxNodeInfo(
        meminfo: str = "/proc/meminfo", cpuinfo: str = "/proc/cpuinfo"
    ) -> dict[str, object]: ...
    @classmethod
    def LinuxPowercycle(cls) -> None: ...
    @staticmethod
    def _FormatVerifyResults(msgs: list[str]) -> str | None: ...
    def AcceptInstance(self, instance: objects.Instance, info: str, target: str) -> None: ...
    def VerifyInstance(self, instance: objects.Instance) -> bool: ...
