"""The cluster that all steps share, and the record of what became of each step.

CLUSTER_ROW is the system (harness/systems.py), CLUSTER_MODULES the modules of the two nodes ("ours"
by default), CLUSTER_RESULTS the file that gets the record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.harness import repair, systems
from cluster.harness.cluster import OURS, Cluster
from cluster.harness.instance import Instance
from cluster.harness.namespaces import CommandFailed
from harness import node as harness_node

_ORDER = (
    "harness",
    "cluster",
    "life",
    "migration",
    "migration_settings",
    "options",
    "tags",
    "uefi",
    "faults",
    "unheard",
    "many",
    "mixed",
    "upgrade",
    "next",
    "next_policies",
)
# Its cluster is another one afterwards: `make test-cluster-upgrade`.
collect_ignore = [] if os.environ.get("CLUSTER_UPGRADE") else ["test_upgrade.py"]
if systems.chosen() is not systems.NEXT:
    collect_ignore += ["test_next.py", "test_next_policies.py"]  # `make test-cluster-next`
_TIMEOUT = 240  # seconds; the slowest step takes a quarter of that
_record: dict[str, Any] = {"versions": "", "steps": []}
_failed: list[str] = []  # since the cluster was last put right


def modules() -> tuple[str, str]:
    first, _, second = os.environ.get("CLUSTER_MODULES", OURS).partition(",")
    return first, second or first


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "core: part of the short run")
    config.addinivalue_line("markers", "long: not part of it all the same")
    config.addinivalue_line("markers", "mixed: both modules in one cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _ORDER.index(item.path.stem.removeprefix("test_")))
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_TIMEOUT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        _failed.append(item.name)
    if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
        title = (item.function.__doc__ or item.name).strip().splitlines()[0]  # type: ignore[attr-defined]
        if callspec := getattr(item, "callspec", None):
            title = f"{title.rstrip('.')}: {callspec.id}"
        _record["steps"].append(
            {
                "step": title.rstrip("."),
                "group": item.path.stem.removeprefix("test_"),
                "outcome": report.outcome,
                "seconds": round(report.duration, 1),
                "figures": [value for name, value in item.user_properties if name == "figure"],
                "why": _why(call.excinfo.value) if call.excinfo else "",
            }
        )
        if path := os.environ.get("CLUSTER_RESULTS"):  # also of a run that is cut short
            Path(path).write_text(json.dumps(_record, indent=1))
    return report


def _why(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # A command's last line says what went wrong, an assertion's first.
    return lines[-1 if isinstance(error, CommandFailed) else 0]


@pytest.fixture(scope="session")
def nodes() -> Iterator[Cluster]:
    """Two nodes that are no cluster yet."""
    harness_node.require_sandbox()
    made = Cluster(systems.chosen())
    _record["versions"] = made.versions()
    yield made
    if folder := os.environ.get("CLUSTER_LOGS"):
        made.save_logs(Path(folder))
    made.close()


@pytest.fixture(scope="session")
def cluster(nodes: Cluster) -> Cluster:
    nodes.initialize(modules())
    return nodes


def put_right(cluster: Cluster) -> None:
    """If a step failed, the next one begins with nodes that do nothing, and no instance."""
    if _failed and cluster.is_initialized:
        repair.afresh(cluster)
        _failed.clear()


@pytest.fixture
def n1(cluster: Cluster) -> Any:
    return cluster.master


@pytest.fixture
def n2(cluster: Cluster) -> Any:
    return cluster.other


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Instance]:
    """An instance for the steps of a file, made by the first of them."""
    instance = Instance(cluster, "i1.example.com")
    yield instance
    put_right(cluster)
    if instance.state():
        cluster.recover()
        instance.gnt("shutdown", "--timeout=0", "--force", check=False)
        instance.remove()


@pytest.fixture
def guest(made: Instance, cluster: Cluster) -> Instance:
    """It runs on the first node, whatever became of the step before."""
    put_right(cluster)
    made.ensure_running(cluster.master)
    repair.forget(cluster.other, made.name)
    return made


@pytest.fixture
def down(made: Instance, cluster: Cluster) -> Instance:
    """It is on the first node, and does not run."""
    put_right(cluster)
    made.ensure_down(cluster.master)
    for node in cluster.nodes:
        repair.forget(node, made.name)
    return made


@pytest.fixture
def figure(record_property: Any) -> Any:
    """Writes a measured figure beside the step's seconds."""
    return lambda text: record_property("figure", text)
