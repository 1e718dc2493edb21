"""The cluster's configuration, as a master candidate has it: the tags are in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, objects, pathutils, serializer


@pytest.fixture
def configured() -> Iterator[Any]:
    """Writes the cluster's configuration, with one instance, as a master candidate has it."""
    path = Path(pathutils.CLUSTER_CONF_FILE)
    cluster = objects.Cluster(
        hvparams={constants.HT_KVM: constants.HVC_DEFAULTS[constants.HT_KVM]},
        beparams={constants.PP_DEFAULT: constants.BEC_DEFAULTS},
        os_hvp={},
        enabled_hypervisors=[constants.HT_KVM],
    )

    def write(made: Any) -> None:
        members = {name: {} for name in ("nodes", "nodegroups", "networks", "disks", "filters")}
        kept = ("name", "uuid", "primary_node", "hypervisor", "hvparams", "beparams", "tags", "os")
        values = {name: getattr(made, name) for name in kept}
        instance = objects.Instance(nics=[], disks=[], osparams={}, **values)
        config = objects.ConfigData(cluster=cluster, instances={made.uuid: instance}, **members)
        path.write_bytes(serializer.Dump(config.ToDict()))

    yield write
    path.unlink(missing_ok=True)
