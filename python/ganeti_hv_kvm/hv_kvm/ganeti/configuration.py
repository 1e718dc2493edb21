"""The cluster's configuration, as this node has it: for commands, which Ganeti tells nothing.

Master candidates have it, and the master changes it on all of them before a request is answered.
"""

from __future__ import annotations

from typing import NamedTuple

from ganeti import errors, objects, pathutils, serializer, utils


class NoConfigurationError(errors.HypervisorError):
    """This node has none: it is no master candidate."""


class Configured(NamedTuple):
    """An instance in the configuration.

    Attributes:
        instance: Ganeti's ``objects.Instance``, its parameters and those of its NICs filled up
            with the cluster's.
        node: the name of its primary node.
        disks: in their order.
    """

    instance: objects.Instance
    node: str
    disks: list[objects.Disk]


def find(name: str) -> Configured:
    """Find an instance by its full name.

    Raises:
        NoConfigurationError: this node has no configuration.
        errors.HypervisorError: it cannot be read, or there is no such instance.
    """
    path = pathutils.CLUSTER_CONF_FILE
    try:
        config = objects.ConfigData.FromDict(serializer.Load(utils.ReadFile(path)))
        found = [one for one in config.instances.values() if one.name == name]
        configured = _filled(config, found[0]) if found else None
    except FileNotFoundError as err:
        raise NoConfigurationError(
            f"this node has no {path}: only master candidates have the cluster's configuration"
        ) from err
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        errors.GenericError,
    ) as err:
        raise errors.HypervisorError(f"{path} cannot be read: {type(err).__name__}: {err}") from err
    if configured is None:
        raise errors.HypervisorError(f"the cluster's configuration has no instance {name}")
    return configured


def _filled(config: objects.ConfigData, instance: objects.Instance) -> Configured:
    instance.hvparams = config.cluster.FillHV(instance)
    instance.beparams = config.cluster.FillBE(instance)
    for nic in instance.nics:
        nic.nicparams = config.cluster.SimpleFillNIC(nic.nicparams)
    node = config.nodes.get(instance.primary_node)
    disks = [config.disks[uuid] for uuid in instance.disks]
    return Configured(instance, node.name if node else "", disks)
