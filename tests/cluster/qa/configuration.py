"""What Ganeti's QA is told about the cluster in namespaces, and which of its tests it runs."""

from __future__ import annotations

from typing import Any

from cluster.harness import cluster as harness

# Why not, for the report.
NOT_HERE = {
    "create-cluster, cluster-destroy": "the harness makes and ends the cluster",
    "instance-add-plain-disk, instance-add-drbd-disk, and what is tested with them": (
        "no device-mapper and no DRBD in this kernel"
    ),
    "instance-add-rbd, instance-add-gluster": "no Ceph and no Gluster here",
    "instance-export, instance-import": "QA knows them for LVM alone; `make test-cluster` has ours",
    "cluster-burnin, performance": "measure the machine, not the module",
    "cluster-upgrade": "needs two Ganetis on one node",
    "group-custom-ssh-port, inter-cluster-instance-move, cluster-oob, node-oob": (
        "need iptables, a second cluster, management hardware"
    ),
    "cluster-rename, cluster-renew-crypto, cluster-master-failover, node-readd, node and network "
    "administration, job queue, filters, htools, os": "none of them reaches the hypervisor",
}
# What says nothing new of another disk template.
_ONCE = ("instance-list", "cluster-instance-communication", "cluster-epo")
_OFF = (
    "instance-export",
    "instance-import",
    "node-modify",
    "network",
    "delay",
    "tags",
    "group-list",
    "job-list",
    "node-list",
    "instance-device-names",
    "create-cluster",
    "cluster-destroy",
    "cluster-burnin",
    "cluster-upgrade",
    "cluster-oob",
    "node-oob",
    "cluster-exclusive-storage",
    "exclusive-storage-instance-tests",
    "cluster-instance-policy",
    "group-custom-ssh-port",
    "inter-cluster-instance-move",
    "performance",
    "jobqueue-performance",
    "parallel-performance",
    "parallel-failover",
    "parallel-migration",
    "parallel-replace-disks",
    "parallel-reboot",
    "parallel-reinstall",
    "parallel-rename",
    "instance-add-plain-disk",
    "instance-add-drbd-disk",
    "instance-add-rbd",
    "instance-add-gluster",
    "instance-remove-drbd-offline",
    "instance-replace-disks",
    "instance-convert-disk",
    "cluster-rename",
    "cluster-renew-crypto",
    "cluster-master-failover",
    "node-readd",
    "test-jobqueue",
    "filters",
    "htools",
    "os",
    "cluster-reserved-lvs",
    "cluster-repair-disk-sizes",
    "haskell-confd",
    "node-volumes",
    "node-storage",
    "cluster-copyfile",
    "cluster-command",
    "cluster-redist-conf",
    "cluster-modify",
    "instance-add-osparams",
    "instance-data-censorship",
    "group-rwops",
)


TEMPLATES = ("diskless", "sharedfile", "file")
_ADD = {"diskless": "diskless", "sharedfile": "shared-file", "file": "file"}


def configuration(template: str) -> dict[str, Any]:
    """For `qa_config.Load`: the tests with instances of this disk template."""
    off = [*_OFF, *(f"instance-add-{name}" for key, name in _ADD.items() if key != template)]
    if template != TEMPLATES[0]:
        off += _ONCE
    instances = [{"name": name} for name in harness.INSTANCES[:6]]
    return {
        "name": harness.NAME,
        "master-netdev": "br0",
        "default-nicparams": {"mode": "bridged", "link": "br0"},
        "os": "noop",
        "maxmem": "128M",
        "minmem": "96M",
        "disks": [
            {"size": "1G", "growth": "256M", "name": "disk0"},
            {"size": "1G", "growth": "256M", "name": "disk1"},
        ],
        "enabled-hypervisors": ["kvm"],
        "enabled-disk-templates": ["diskless", "file", "sharedfile"],
        "file-storage-dir": harness.STORAGE,
        "default-file-storage-dir": harness.STORAGE,
        "default-shared-file-storage-dir": harness.SHARED_STORAGE,
        "modify_ssh_setup": False,
        "nodes": [
            {"primary": name, "secondary": address} for name, address in harness.NODES.items()
        ],
        "instances": instances,
        "groups": {"group-with-nodes": "default", "inexistent-groups": ["g1", "g2", "g3"]},
        "networks": {"inexistent-networks": ["net1", "net2", "net3"]},
        "rapi-user": "ganeti-qa",
        "tests": {"default": True, **dict.fromkeys(off, False)},
        "options": {"reboot-types": ["soft", "hard", "full"], "use-iallocators": False},
    }
