"""The cluster's configuration, as a node may have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ganeti import constants, errors, objects, pathutils, serializer

from ganeti_hv_kvm.hv_kvm.ganeti import configuration

NAME = "web1.example.com"


@pytest.fixture
def path(tmp_path, monkeypatch):
    made = tmp_path / "config.data"
    monkeypatch.setattr(pathutils, "CLUSTER_CONF_FILE", str(made))
    return made


def write(path: Path, disks: dict[str, objects.Disk]) -> None:
    cluster = objects.Cluster(
        hvparams={constants.HT_KVM: {**constants.HVC_DEFAULTS[constants.HT_KVM], "acpi": False}},
        beparams={constants.PP_DEFAULT: constants.BEC_DEFAULTS},
        nicparams={constants.PP_DEFAULT: {**constants.NICC_DEFAULTS, "link": "br7"}},
        os_hvp={},
        enabled_hypervisors=[constants.HT_KVM],
    )
    instance = objects.Instance(
        name=NAME,
        uuid="u1",
        primary_node="n1",
        os="none",
        hypervisor=constants.HT_KVM,
        hvparams={"kernel_path": "/k"},
        beparams={constants.BE_VCPUS: 3},
        osparams={},
        nics=[objects.NIC(mac="aa:00:00:12:34:00", nicparams={"mode": "bridged"})],
        disks=["d1", "d0"],
    )
    node = objects.Node(name="node1.example.com", uuid="n1")
    config = objects.ConfigData(
        cluster=cluster,
        instances={"u1": instance},
        nodes={"n1": node},
        disks=disks,
        nodegroups={},
        networks={},
        filters={},
    )
    text = serializer.Dump(config.ToDict())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def disk(uuid: str) -> objects.Disk:
    return objects.Disk(
        uuid=uuid, dev_type=constants.DT_FILE, logical_id=("loop", f"/{uuid}"), size=1, children=[]
    )


def test_what_the_cluster_says_is_filled_in(path):
    write(path, {uuid: disk(uuid) for uuid in ("d0", "d1", "of-another")})
    instance, node, disks = configuration.find(NAME)
    assert (instance.hvparams["kernel_path"], instance.hvparams["acpi"]) == ("/k", False)
    assert instance.beparams[constants.BE_VCPUS] == 3
    assert constants.BE_MAXMEM in instance.beparams
    (nic,) = instance.nics
    assert (nic.nicparams["mode"], nic.nicparams["link"]) == ("bridged", "br7")
    assert node == "node1.example.com"
    assert [one.uuid for one in disks] == ["d1", "d0"]


def test_no_configuration_is_an_error_of_its_own(path):
    with pytest.raises(configuration.NoConfigurationError, match=f"this node has no {path}: only"):
        configuration.find(NAME)


def test_an_instance_that_is_not_there(path):
    write(path, {uuid: disk(uuid) for uuid in ("d0", "d1")})
    with pytest.raises(errors.HypervisorError, match="has no instance other") as caught:
        configuration.find("other")
    assert not isinstance(caught.value, configuration.NoConfigurationError)


@pytest.mark.parametrize("text", ["", "[]", '{"instances": 7}', "{", None])
def test_one_that_cannot_be_read(path, text):
    if text is None:
        write(path, {})  # the instance's disks are missing
    else:
        path.write_text(text)
    with pytest.raises(errors.HypervisorError, match="cannot be read") as caught:
        configuration.find(NAME)
    assert not isinstance(caught.value, configuration.NoConfigurationError)
