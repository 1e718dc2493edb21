"""Options by tag: which there are, and what a wrong one costs."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import errors, objects
from hypothesis import given
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm.ganeti import guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import DiskLimit, Options
from harness import paths


def values(*tags: str) -> dict[str, Any]:
    options, problems = guest_options.parse(tags)
    assert problems == []
    return dict(options.values)


@pytest.mark.parametrize(
    ("tag", "name", "value"),
    [
        ("disk-iops:500", "disk-iops", 500),
        ("disk-iops:0", "disk-iops", 0),
        ("disk-bps:100M", "disk-bps", 100 << 20),
        ("disk-bps:7", "disk-bps", 7),
        ("disk0-bps:3k", "disk0-bps", 3 << 10),
        ("disk15-iops:9", "disk15-iops", 9),
        ("iothreads:8", "iothreads", 8),
        ("mtu:9000", "mtu", 9000),
        ("mtu:auto", "mtu", "auto"),
        ("balloon:off", "balloon", False),
        ("rng", "rng", True),
        ("rng:off", "rng", False),
        ("watchdog:inject-nmi", "watchdog", "inject-nmi"),
        ("panic:pause", "panic", "pause"),
        ("hugepages", "hugepages", "default"),
        ("hugepages:1G", "hugepages", "1G"),
        ("numa:0-1", "numa", "0-1"),
        ("firmware:uefi", "firmware", "uefi"),
    ],
)
def test_right_ones(tag: str, name: str, value: object) -> None:
    assert values(f"hv-kvm:{tag}") == {name: value}


@pytest.mark.parametrize("option", guest_options.TABLE, ids=lambda option: option.name)
def test_each_example_is_a_value(option: guest_options.Option) -> None:
    name = option.name.replace("N", "3")
    found = values(f"hv-kvm:{name}:{option.example}")[name]
    assert guest_options.words(found) in (option.example, str(100 << 20), str(20 << 20))


@pytest.mark.parametrize(
    "tag",
    [
        "disk-iops:-1",
        "disk-iops:",
        "disk-iops",
        "disk-iops:1.5",
        "disk-iops:1e3",
        "disk-iops:1000000000000001",
        "disk-iops:99999999999999999999999",
        "disk-iops:٣",
        "disk-bps:10T",
        "disk-bps:M",
        "disk-bps:1\N{KELVIN SIGN}",
        "iothreads:9",
        "iothreads:on",
        "mtu:67",
        "mtu:65536",
        "balloon",
        "balloon:yes",
        "rng:",
        "rng:ON",
        "watchdog",
        "watchdog:explode",
        "panic:reset",
        "hugepages:4k",
        "numa:1-0",
        "numa:a",
        "numa:0-1-2",
    ],
)
def test_wrong_values(tag: str) -> None:
    options, (problem,) = guest_options.parse([f"hv-kvm:{tag}"])
    assert not options
    assert f"'hv-kvm:{tag}'" in problem
    assert " may be " in problem


@pytest.mark.parametrize(
    "tag",
    ["", ":", "disk", "diskN-iops:1", "disk-1-iops:1", "disk100-iops:1", "DISK-IOPS:1", "x:y"],
)
def test_unknown_names(tag: str) -> None:
    options, (problem,) = guest_options.parse([f"hv-kvm:{tag}"])
    assert not options
    assert "there is no option" in problem
    assert "watchdog" in problem  # it says which there are


def test_a_long_name_is_cut() -> None:
    """Fault: of apply --tags it was all of what was given."""
    _, (problem,) = guest_options.parse(["hv-kvm:" + "x" * 50_000])
    assert len(problem) < 500


@pytest.mark.parametrize("tag", ["hv-kvm", "hv_kvm:rng", "HV-KVM:rng", "x:hv-kvm:rng", "web"])
def test_other_tags_are_not_ours(tag: str) -> None:
    assert values(tag) == {}


def test_twice() -> None:
    options, problems = guest_options.parse(
        ["hv-kvm:rng", "hv-kvm:rng:on", "hv-kvm:mtu:9000", "hv-kvm:mtu:1400", "hv-kvm:disk-bps:1k",
         "hv-kvm:disk-bps:1024"]
    )  # fmt: skip
    assert dict(options.values) == {"rng": True, "disk-bps": 1024}
    assert problems == ["mtu is given twice, with different values"]


def test_two_spellings_of_one_disk_are_twice() -> None:
    options, problems = guest_options.parse(
        ["hv-kvm:disk0-iops:5", "hv-kvm:disk00-iops:500", "hv-kvm:disk01-bps:1k"]
    )
    assert problems == ["disk0-iops is given twice, with different values"]
    assert dict(options.values) == {"disk1-bps": 1024}


def test_a_wrong_one_costs_no_other() -> None:
    options, problems = guest_options.parse(["hv-kvm:rng", "hv-kvm:mtu:big"])
    assert dict(options.values) == {"rng": True}
    assert len(problems) == 1


def test_limits() -> None:
    tags = ["disk-iops:500", "disk1-bps:20M", "disk1-iops:0", "disk3-iops:7"]
    options, _ = guest_options.parse([f"hv-kvm:{tag}" for tag in tags])
    assert options.limit_of_all_disks == DiskLimit(500, None)
    assert options.limits_of_a_disk == {1: DiskLimit(0, 20 << 20), 3: DiskLimit(7, None)}
    assert Options().limit_of_all_disks == DiskLimit()


def guest(*tags: str) -> Any:
    return objects.Instance(name="web1", tags=list(tags))


def test_a_start_is_refused() -> None:
    made = guest("hv-kvm:rgn", "hv-kvm:mtu:big", "web")
    with pytest.raises(errors.HypervisorError) as caught:
        guest_options.for_start(made)
    text = str(caught.value)
    assert "Instance web1 was not started" in text
    assert "there is no option 'rgn'" in text
    assert "mtu may be 68 to 65535" in text
    assert "gnt-instance remove-tags web1 TAG" in text


def test_a_guest_that_runs_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    options = guest_options.for_running(guest("hv-kvm:rgn", "hv-kvm:mtu:9000"))
    assert dict(options.values) == {"mtu": 9000}
    assert "web1 goes on without an option of its tags: tag 'hv-kvm:rgn'" in caplog.text


def test_what_ganetis_own_module_would_do_with_them(caplog: pytest.LogCaptureFixture) -> None:
    made = SimpleNamespace(name="web", tags=["hv-kvm:firmware:uefi"])
    with pytest.raises(errors.HypervisorError, match="Upgrade ganeti-hv-kvm, or unset"):
        guest_options.check_left_to_own_module(made)
    made.tags = ["hv-kvm:balloon:off"]
    guest_options.check_left_to_own_module(made)
    assert "knows none of them" in caplog.text
    caplog.clear()
    made.tags = ["web"]
    guest_options.check_left_to_own_module(made)
    assert not caplog.text


@pytest.mark.parametrize("tags", [None, [], set(), ()])
def test_no_tags(tags: object) -> None:
    assert not guest_options.for_start(SimpleNamespace(name="web1", tags=tags))


def test_no_tags_at_all() -> None:
    assert not guest_options.for_start(SimpleNamespace(name="web1"))


# what Ganeti lets a tag have
_TAG = st.text("abkmgN0159.+*/:@-_", max_size=120)


@given(st.lists(_TAG.map("hv-kvm:{}".format), max_size=6))
def test_any_tag_is_an_option_or_a_problem(tags: list[str]) -> None:
    options, problems = guest_options.parse(tags)
    assert bool(tags) == bool(options or problems)
    assert all(isinstance(text, str) and text.isprintable() for text in problems)


def test_the_document_has_each() -> None:
    document = (paths.PROJECT / "docs/options.md").read_text()
    for option in guest_options.TABLE:
        row = f"| `{option.name}` | {option.values} | {option.when.value} |"
        assert row in document
