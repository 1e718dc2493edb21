"""The file of a migration's key: whose it is, and that it goes."""

from __future__ import annotations

import os

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.guest import key_files, process_view
from ganeti_hv_kvm.hv_kvm.guest.key_files import Owner

ME = Owner(os.getuid(), os.getgid())


def test_it_is_its_owners_alone(tmp_path):
    folder = tmp_path / "web.tls"
    key_files.write(str(folder), "ab12", ME)
    file = folder / "keys.psk"
    assert file.read_text() == "qemu:ab12\n"
    for path, mode in ((folder, 0o700), (file, 0o600)):
        seen = path.stat()
        assert (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (mode, *ME)
    key_files.remove(str(folder))
    assert list(tmp_path.iterdir()) == []


def test_a_new_one_takes_the_place_of_what_a_crash_left(tmp_path):
    folder = str(tmp_path / "web.tls")
    key_files.write(folder, "ab12", ME)
    key_files.write(folder, "cd34", ME)
    assert (tmp_path / "web.tls/keys.psk").read_text() == "qemu:cd34\n"


def test_nothing_is_there(tmp_path):
    key_files.remove(str(tmp_path / "web.tls"))
    key_files.remove(str(tmp_path / "no/web.tls"))


def test_what_a_guest_put_there_instead_is_not_followed(tmp_path):
    """Fault: QEMU's process is in foreign hands, and its root folder is its own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keys.psk").write_text("dear")
    folder = tmp_path / "web.tls"
    folder.symlink_to(elsewhere)
    with pytest.raises(errors.HypervisorError, match="key cannot be written into"):
        key_files.write(str(folder), "ab12", ME)
    assert (elsewhere / "keys.psk").read_text() == "dear"
    with pytest.raises(OSError, match=r"web\.tls"):
        key_files.remove(str(folder))


def test_what_else_lies_there_stays(tmp_path):
    folder = tmp_path / "web.tls"
    key_files.write(str(folder), "ab12", ME)
    (folder / "strange").write_text("look at me")
    with pytest.raises(OSError, match="not empty"):
        key_files.remove(str(folder))
    assert [path.name for path in folder.iterdir()] == ["strange"], "the key is gone all the same"


def test_no_room_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchown", full)
    with pytest.raises(errors.HypervisorError, match="No space left"):
        key_files.write(str(tmp_path / "web.tls"), "ab12", ME)
    assert list(tmp_path.iterdir()) == []


def test_the_kernels_word_of_a_process():
    assert process_view.of(os.getpid()) == ("/", os.geteuid(), os.getegid())


def test_no_such_process():
    with pytest.raises(errors.HypervisorError, match="cannot be told"):
        process_view.of(4194305)
