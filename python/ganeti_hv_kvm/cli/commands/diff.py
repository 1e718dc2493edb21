"""``ganeti-hv-kvm diff``: the devices of a guest's runtime file beside those that its QEMU has."""

from __future__ import annotations

import argparse

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import devices, guests, inquiry, masking
from ganeti_hv_kvm.cli.node.devices import Device, Difference
from ganeti_hv_kvm.cli.node.inquiry import Inquiry

DESCRIPTION = (
    "Compares the disks and NICs of the runtime file, which a reboot or a migration goes by, with"
    " those that QEMU has. Ganeti's next look at the devices (hot-plug, reboot, migration) takes"
    " out of the file what the guest has released; all else is for a person."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run", "log")


def run(options: argparse.Namespace) -> int:
    """Say it."""
    guest = guests.find(options.run_dir, options.name)
    found = inquiry.inquire(guest, options.log_dir, options.timeout, log_lines=0)
    told = compare(found)
    if options.json:
        output.write_json({"name": guest.name, **as_json(found, told)})
    else:
        for line in text(found, told):
            output.write(line)
    return exit_status.WRONG if told else exit_status.WELL


def compare(found: Inquiry) -> list[Difference]:
    """Compare.

    Raises:
        CommandError: the runtime file or QEMU does not tell.
    """
    name = output.quoted(found.guest.name)
    if found.runtime is None:
        why = found.runtime_error or f"there is no {found.guest.runtime}"
        raise CommandError(f"{name}: {output.quoted(why)}", name=found.guest.name)
    if inquiry.DEVICES not in found.replies:
        why = masking.text(found.seen.reason or "QEMU does not tell which devices it has")
        raise CommandError(
            f"{name}: {output.quoted(why)} (more: ganeti-hv-kvm why {name})", name=found.guest.name
        )
    try:
        return inquiry.differences(found) or []
    except ValueError as err:
        raise CommandError(f"{name}: {output.quoted(str(err))}", name=found.guest.name) from err


def _sides(found: Inquiry) -> tuple[list[Device], list[Device]]:
    stored = devices.in_runtime(found.runtime) if found.runtime else []
    there = devices.in_qemu(
        found.replies[inquiry.DEVICES],
        found.replies.get(inquiry.BLOCK),
        found.replies.get(inquiry.PCI),
        found.macs,
    )
    return stored, there


def as_json(found: Inquiry, told: list[Difference]) -> dict[str, object]:
    """Give the answer for programs."""
    stored, there = _sides(found)
    return {
        "differences": [masking.value(one._asdict()) for one in told],
        "runtime": [masking.value(one._asdict()) for one in stored],
        "qemu": [masking.value(one._asdict()) for one in there],
    }


def text(found: Inquiry, told: list[Difference]) -> list[str]:
    """Give the answer as lines: what is in one alone behind ``-`` and ``+``, as diff(1) does."""
    stored, there = _sides(found)
    by_name = {one.name: one for one in there}
    known = {one.name for one in stored}
    changed = {one.name for one in told}
    lines = [f"--- {output.quoted(str(found.guest.runtime))}", f"+++ QEMU, process {found.pid}"]
    for one in stored:
        if one.name not in changed:
            lines.append(f"  {_line(one)}")
            continue
        lines.append(f"- {_line(one)}")
        if one.name in by_name:
            lines.append(f"+ {_line(by_name[one.name])}")
    lines += [f"+ {_line(one)}" for one in there if one.name in changed and one.name not in known]
    return lines


def _line(device: Device) -> str:
    parts = [device.kind, device.name, device.driver or "?", device.place or "-"]
    parts += [masking.text(device.behind)] if device.behind else []
    parts += ["read-only"] if device.read_only else []
    return output.quoted(" ".join(parts))
