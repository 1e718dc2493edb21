"""mem_path and fail_on_no_hp, on nodes with enough huge pages and with too few."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.host import memory
from ganeti_hv_kvm.hv_kvm.lifecycle import huge_pages

FOLDER = "/dev/hugepages"
COMMAND = ["qemu", "-m", "128", "-mem-path", FOLDER, "-mem-prealloc", "-S"]
ORDINARY = ["qemu", "-m", "128", "-S"]


@pytest.fixture(autouse=True)
def parameter(monkeypatch):
    monkeypatch.setattr(huge_pages, "_STRICT", "fail_on_no_hp")


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node whose folder has pages of 2 MiB, as many of them free as is said."""
    monkeypatch.setattr(memory, "_PAGES", str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bsize=2 << 20))

    def free(pages):
        folder = tmp_path / "hugepages-2048kB"
        folder.mkdir()
        (folder / "free_hugepages").write_text(f"{pages}\n")

    return free


@pytest.mark.parametrize("strict", [True, False])
def test_with_pages_enough(node, strict):
    node(64)
    assert huge_pages.fitted("web", COMMAND, {"fail_on_no_hp": strict}) == COMMAND


def test_with_too_few_it_does_not_start(node):
    node(63)
    with pytest.raises(errors.HypervisorError, match=r"126 MiB free .* is 128 MiB .*fail_on_no_hp"):
        huge_pages.fitted("web", COMMAND, {"fail_on_no_hp": True})


def test_or_starts_with_ordinary_memory(node, caplog):
    node(63)
    caplog.set_level(logging.WARNING)
    assert huge_pages.fitted("web", COMMAND, {"fail_on_no_hp": False}) == ORDINARY
    assert "web starts with ordinary memory: this node has 126 MiB" in caplog.text


def test_a_ganeti_without_the_parameter_leaves_it_to_qemu(node, monkeypatch):
    node(0)
    assert huge_pages.fitted("web", COMMAND, {}) == COMMAND
    monkeypatch.setattr(huge_pages, "_STRICT", None)
    assert huge_pages.fitted("web", COMMAND, {"fail_on_no_hp": False}) == COMMAND


def test_a_guest_without_huge_pages_and_a_folder_without_them(node, tmp_path):
    assert huge_pages.fitted("web", ORDINARY, {"fail_on_no_hp": True}) == ORDINARY
    # no such size of pages here: the folder is an ordinary one
    assert huge_pages.fitted("web", COMMAND, {"fail_on_no_hp": True}) == COMMAND


def test_a_folder_that_is_not_there_is_for_qemu_to_say():
    command = [word.replace(FOLDER, "/nowhere") for word in COMMAND]
    assert huge_pages.fitted("web", command, {"fail_on_no_hp": True}) == command
