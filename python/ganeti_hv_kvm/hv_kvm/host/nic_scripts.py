"""The node's network scripts: one sets a NIC's TAP device up; where Ganeti has it, one undoes that.

The second belongs after the guest is gone. At that time Ganeti may know no more of the instance
than its name, so what the script is told is kept beside the names of the TAP devices.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from ganeti import errors, objects, utils
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.ganeti.generation import NIC_SETUP_SCRIPT
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

_TAGS = "tags"


def set_up(
    instance: objects.Instance,
    seq: int,
    nic: objects.NIC,
    tap: str,
    extra_env: dict[str, str] | None = None,
) -> None:
    """Put a TAP device into its network.

    Args:
        seq: the NIC's number.
        tap: the interface's name.
        extra_env: more for the script's environment; upstream's development version alone knows it.

    Raises:
        errors.HypervisorError: the script failed.
    """
    more = {} if extra_env is None else {"extra_env": extra_env}
    hv_base.ConfigureNIC([NIC_SETUP_SCRIPT, tap], instance, seq, nic, tap, **more)


def are_undone() -> bool:
    """Tell whether this Ganeti wants to know when a NIC has gone."""
    return hasattr(hv_base, "DeConfigureNIC")


def undo(instance: objects.Instance, seq: int, nic: objects.NIC, tap: str) -> None:
    """Tell the network that a NIC has gone; a script that fails is only logged."""
    if not are_undone():
        return
    try:
        hv_base.DeConfigureNIC([NIC_SETUP_SCRIPT, tap], instance, seq, nic, tap)
    except (errors.GenericError, OSError) as err:
        logging.warning("%s, NIC %d (%s), which has gone: %s", instance.name, seq, tap, err)


def remember(instance: objects.Instance, files: InstanceFiles) -> None:
    """Keep the instance's tags, which the script is told, until the guest is gone."""
    if are_undone():
        tags = "\n".join(sorted(instance.GetTags()))
        utils.WriteFile(os.path.join(files.nic_dir, _TAGS), data=tags)


def undo_all(files: InstanceFiles) -> None:
    """Tell the network that all NICs of a guest have gone, each once; nothing is raised.

    A guest without a runtime file was cleaned up before, or its file is lost: there is nobody to
    ask which NICs it had.
    """
    if not are_undone():
        return
    try:
        nics = KVMRuntime.from_serialized(utils.ReadFile(files.runtime)).kvm_nics
    except FileNotFoundError:
        return
    except (OSError, errors.GenericError) as err:
        logging.warning("The NICs of %s are not known, so not undone: %s", files.name, err)
        return
    undo_each(objects.Instance(name=files.name, tags=_tags(files)), files, enumerate(nics))


def undo_each(
    instance: objects.Instance, files: InstanceFiles, nics: Iterable[tuple[int, objects.NIC]]
) -> None:
    """Tell the network that these NICs have gone, as far as they have not been undone yet.

    Args:
        nics: the number of each, and the NIC.
    """
    if not are_undone():
        return
    for seq, nic in nics:
        try:
            tap = utils.ReadFile(files.nic_file(seq))
        except FileNotFoundError:
            continue  # it was undone already
        except OSError as err:
            logging.warning("NIC %d of %s is not undone: %s", seq, instance.name, err)
            continue
        try:
            utils.RemoveFile(files.nic_file(seq))
        except OSError as err:
            logging.warning("NIC %d of %s may be undone twice: %s", seq, instance.name, err)
        undo(instance, seq, nic, tap)


def _tags(files: InstanceFiles) -> set[str]:
    try:
        return set(utils.ReadFile(os.path.join(files.nic_dir, _TAGS)).splitlines())
    except FileNotFoundError:
        return set()
    except OSError as err:
        logging.warning("The scripts are not told the tags of %s: %s", files.name, err)
        return set()
