"""What a guest needs of this node for its next start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.host import files_qemu_opens
from harness import instance


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "file"
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    "parameter",
    ["kernel_path", "cdrom_image_path", "cdrom2_image_path", "floppy_image_path"],
)
def test_files(parameter: str, file: str) -> None:
    files_qemu_opens.check({parameter: file}, [])
    os.unlink(file)
    with pytest.raises(errors.HypervisorError, match=rf"{parameter}: .*No such file.*'{file}'"):
        files_qemu_opens.check({parameter: file}, [])


def test_all_that_is_missing_is_named() -> None:
    parameters = {"kernel_path": "/no/kernel", "initrd_path": "/no/initrd"}
    with pytest.raises(errors.HypervisorError, match=r"/no/kernel.*; initrd_path: .*/no/initrd"):
        files_qemu_opens.check(parameters, [])


def test_what_qemu_does_not_open_may_be_missing() -> None:
    url = "http://127.0.0.1:1/cd.iso"
    files_qemu_opens.check({"initrd_path": "/no/initrd", "cdrom_image_path": url}, [])
    files_qemu_opens.check({"kernel_path": "", "mem_path": None}, [])


def test_a_folder_for_memory(tmp_path: Path, file: str) -> None:
    files_qemu_opens.check({"mem_path": str(tmp_path)}, [])
    with pytest.raises(errors.HypervisorError, match=r"mem_path: .* is no folder"):
        files_qemu_opens.check({"mem_path": file}, [])


def test_disks(tmp_path: Path) -> None:
    disks = [instance.disk(tmp_path, number) for number in range(2)]
    link = tmp_path / "link"
    link.symlink_to(disks[1][1])
    disks[1] = (disks[1][0], str(link), None)
    files_qemu_opens.check({}, disks)
    link.unlink()
    link.symlink_to(tmp_path / "storage that went away")
    with pytest.raises(errors.HypervisorError, match=rf"^disk 1: .*'{link}'"):
        files_qemu_opens.check({}, disks)
    link.unlink()
    link.mkdir()
    with pytest.raises(errors.HypervisorError, match=rf"disk 1: {link} is neither"):
        files_qemu_opens.check({}, disks)


def test_a_disk_that_qemu_reaches_by_itself(tmp_path: Path) -> None:
    disk, _, _ = instance.disk(tmp_path)
    disk.params[constants.LDP_ACCESS] = constants.DISK_USERSPACE
    files_qemu_opens.check({}, [(disk, "/no/link", "rbd:pool/image")])
    with pytest.raises(errors.HypervisorError, match="disk 0"):
        files_qemu_opens.check({}, [(disk, "/no/link", None)])


@pytest.mark.parametrize(
    "words",
    [
        ("-drive", "file=rbd:pool/image,if=none"),
        ("-blockdev", "driver=raw,node-name=x,file.driver=file,file.filename=/dev/fdset/3"),
        ("-blockdev", '{"driver": "http", "url": "http://127.0.0.1:1/x.iso"}'),
        ("-blockdev", '{"driver": "file"'),
        ("-object", "memory-backend-ram,id=m,size=64M"),
        ("-cdrom", "own.iso"),
        ("-D", "/no/log"),
    ],
)
def test_words_that_name_no_file_of_the_node(words: tuple[str, str]) -> None:
    files_qemu_opens.check_words(["qemu", *words])


def test_files_that_words_name(tmp_path: Path, file: str) -> None:
    block = f'{{"driver": "raw", "file": {{"driver": "file", "filename": "{file}"}}}}'
    words = ["qemu", "-blockdev", block, "-object", f"rng-random,id=r,filename={file}"]
    files_qemu_opens.check_words(words)
    os.unlink(file)
    with pytest.raises(errors.HypervisorError, match=rf"-blockdev: .*{file}.*-object: .*{file}"):
        files_qemu_opens.check_words(words)
