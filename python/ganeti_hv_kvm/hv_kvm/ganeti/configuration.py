"""The cluster's configuration, as this node has it: for commands, which Ganeti tells nothing.

Master candidates have it, and the master changes it on all of them before a request is answered.
"""

from __future__ import annotations

from typing import NamedTuple

from ganeti import errors, objects, pathutils, serializer, utils


class Configured(NamedTuple):
    """An instance in the configuration.

    Attributes:
        instance: Ganeti's ``objects.Instance``, its parameters filled up with the cluster's.
        node: the name of its primary node.
    """

    instance: objects.Instance
    node: str


def find(name: str) -> Configured:
    """Find an instance by its full name.

    Raises:
        errors.HypervisorError: this node has no configuration, or one that cannot be read; or
            there is no such instance.
    """
    path = pathutils.CLUSTER_CONF_FILE
    try:
        config = objects.ConfigData.FromDict(serializer.Load(utils.ReadFile(path)))
    except FileNotFoundError as err:
        raise errors.HypervisorError(
            f"this node has no {path}: only master candidates know the tags of instances"
        ) from err
    except (OSError, ValueError, KeyError, TypeError, errors.GenericError) as err:
        raise errors.HypervisorError(f"{path} cannot be read: {err}") from err
    found = [one for one in config.instances.values() if one.name == name]
    if not found:
        raise errors.HypervisorError(f"the cluster's configuration has no instance {name}")
    instance = found[0]
    instance.hvparams = config.cluster.FillHV(instance)
    instance.beparams = config.cluster.FillBE(instance)
    node = config.nodes.get(instance.primary_node)
    return Configured(instance, node.name if node else "")
