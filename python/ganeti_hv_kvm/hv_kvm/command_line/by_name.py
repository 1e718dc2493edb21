"""Parts of the command line for who asks for one of them alone: Ganeti's own tests, and site code.

They are given values where the sections of ``build`` take an instance.
"""

from __future__ import annotations

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices.description import Device
from ganeti_hv_kvm.hv_kvm.devices.q35 import is_q35
from ganeti_hv_kvm.hv_kvm.ganeti.generation import DIALECT, Dialect

from . import boot, ide, peripherals


def cdrom(
    model: str,
    image: str,
    boots: object,
    last: object,
    *,
    chipset: str | None = None,
    number: int = 0,
    dialect: Dialect = DIALECT,
) -> list[str]:
    """A CD-ROM drive.

    Args:
        model: as cdrom_disk_type names it.
        boots: the guest starts from it.
        last: the id of its block node; of a -drive, whether old QEMU needs to be told that too.
        chipset: "q35", or anything else for a pc, where QEMU chooses the place.
        number: 0 or 1: which of the two it is.

    Raises:
        errors.HypervisorError: no CD-ROM is of this model.
    """
    words = boot.boot_option(dialect, "d") if boots else []
    if not dialect.blockdev:
        model = constants.HT_DISK_IDE if boots else model
        flag = bool(boots and last)
        return [*words, "-drive", boot.cdrom_drive(model, image, "cdrom1", boot_flag=flag)]
    driver = boot.cdrom_driver(model)
    on_sata = driver == "ide-cd" and is_q35(chipset)
    place = ide.place_words(boot.SATA_PLACES[number]) if on_sata else {}
    index = boot.boot_index(dialect, bool(boots))
    device = {"driver": driver, **place, "drive": str(last)}
    if index is not None:
        device["bootindex"] = index
    block = boot.cdrom_block(str(last), image)
    return [*words, "-blockdev", block, "-device", Device(device).as_argument()]


def sound(model: str, spice_bind: str | None, chipset: str | None, has_switch: bool) -> list[str]:
    """A sound card; ``has_switch`` says that QEMU still has -soundhw.

    Raises:
        errors.HypervisorError: a q35 cannot have it.
    """
    output = peripherals.sound_output(spice_bind)
    return peripherals.sound_card(model, output, is_q35=is_q35(chipset), has_switch=has_switch)
