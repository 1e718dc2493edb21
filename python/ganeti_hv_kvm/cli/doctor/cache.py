"""What QEMU binaries said of themselves, kept below Ganeti's run directory.

`hv_kvm.qemu.binary_cache` writes it, and asks QEMU again where it cannot believe a file. So any of
them may be removed at any time.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ganeti_hv_kvm import json_shapes as shapes
from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis, Step
from ganeti_hv_kvm.cli.frame.finding import note, trouble, unknown, well
from ganeti_hv_kvm.cli.frame.output import quoted

DIRECTORY = "ganeti-hv-kvm"
_MOST_BYTES = 4 << 20
_OTHERS_MAY_WRITE = 0o022


def diagnoses(run_directory: Path) -> Iterator[Diagnosis]:
    """Look at each file; ``run_directory`` is Ganeti's (/run/ganeti)."""
    directory = run_directory / DIRECTORY
    try:
        paths = [directory / name for name in sorted(os.listdir(directory))]
    except FileNotFoundError:
        yield Diagnosis(well("QEMU's cache", "there is none yet"))
        return
    except OSError as err:
        yield Diagnosis(unknown("QEMU's cache", f"{directory} cannot be read: {err.strerror}"))
        return
    good = 0
    for path in paths:
        if not (path.name.startswith("qemu-") and path.name.endswith(".json")):
            continue
        why, is_odd = _why_not(path)
        if why is None:
            good += 1
            continue
        make = trouble if is_odd else note
        step = Step(f"remove {quoted(str(path))}", path.unlink)
        yield Diagnosis(
            make(
                "QEMU's cache",
                f"{path}: {quoted(why)}; it is asked anew each time",
                "ganeti-hv-kvm doctor --fix",
            ),
            (step,),
        )
    if good or not paths:
        yield Diagnosis(
            well("QEMU's cache", f"{good} {'binary is' if good == 1 else 'binaries are'} known")
        )


def _why_not(path: Path) -> tuple[str | None, bool]:
    """Why a file is not believed, and whether somebody must have a look."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return "it is no file", True
            if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
                return "others than root may have written it", True
            content = json.loads(stream.read(_MOST_BYTES))
        return _changed(content["identity"]), False
    except OSError as err:
        return f"it cannot be read: {err.strerror}", True
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return "it is damaged", False


def _changed(identity: object) -> str | None:
    for path, *rest in map(shapes.items, shapes.items(identity)):
        if not isinstance(path, str):
            raise TypeError(path)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return f"{path} is gone"
        now = [
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        ]
        if rest != now:
            return f"{path} was replaced since"
    return None
