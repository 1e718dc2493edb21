"""Helpers of Ganeti that a hypervisor calls; tests replace them in this very module."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from bitarray import bitarray

class RunResult:
    def __init__(
        self,
        exit_code: int | None,
        signal_: int | None,
        stdout: str,
        stderr: str,
        cmd: str,
        timeout_action: int | None,
        timeout: float | None,
    ) -> None: ...
    exit_code: int | None
    signal: int | None
    stdout: str
    stderr: str
    output: str
    failed: bool
    failed_by_timeout: bool
    fail_reason: str
    cmd: str

def RunCmd(
    cmd: str | Sequence[str],
    env: Mapping[str, str] | None = None,
    output: str | None = None,
    cwd: str = "/",
    reset_env: bool = False,
    interactive: bool = False,
    timeout: float | None = None,
    noclose_fds: Iterable[int] | None = None,
    input_fd: int | None = None,
    postfork_fn: Callable[[int], object] | None = None,
) -> RunResult: ...
def IsDaemonAlive(name: str) -> bool: ...
def ReadFile(
    file_name: str, size: int = -1, preread: Callable[[Any], object] | None = None
) -> str: ...
def ReadOneLineFile(file_name: str, strict: bool = False) -> str: ...
@overload
def WriteFile(
    file_name: str, *, data: str | bytes, mode: int | None = None, uid: int = -1, gid: int = -1
) -> int | None: ...
@overload
def WriteFile(
    file_name: str,
    *,
    fn: Callable[[int], object],
    mode: int | None = None,
    uid: int = -1,
    gid: int = -1,
) -> int | None: ...
def RemoveFile(filename: str) -> None: ...
def RemoveDir(dirname: str) -> None: ...
def RenameFile(old: str, new: str, mkdir: bool = False, mkdir_mode: int = 0o750) -> None: ...
def EnsureDirs(dirs: Iterable[tuple[str, int]]) -> None: ...
def TimestampForFilename() -> str: ...
def IsNormAbsPath(path: str) -> bool: ...
def IsUrl(path: str) -> bool: ...
def PathJoin(*args: str) -> str: ...
def NewUUID() -> str: ...
def ShellQuote(value: object) -> str: ...
def CommaJoin(names: Iterable[object]) -> str: ...
def ParseCpuMask(cpu_mask: str) -> list[int]: ...
def ParseMultiCpuMask(cpu_mask: str) -> list[list[int]]: ...
def GetFreeSlot(slots: bitarray, slot: int | None = None, reserve: bool = False) -> int: ...
def SetupLogging(
    logfile: str, program: str, debug: int = 0, stderr_logging: bool = False
) -> Callable[[], None]: ...
