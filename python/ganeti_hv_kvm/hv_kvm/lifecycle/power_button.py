"""The guest's power button (ACPI): how a guest is asked to shut down by itself."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ganeti_hv_kvm.errors import QmpLostError, QmpRefusedError
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.qmp_values.run_state import RunState

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_ASLEEP = "suspended"

# Linux takes a power button that is pressed while it wakes up for what woke it, and forgets it.
# Nobody tells when a guest is awake enough, and one that shuts down already ignores the button.
_WHILE_WAKING = (0.2, 1.0, 2.0)


def press(qmp: QmpConnection, name: str, state: RunState) -> None:
    """Press the power button of a guest; one that sleeps is woken first, or it would not notice.

    A guest whose CPUs are stopped finds the button pressed when somebody lets it go on.

    Args:
        qmp: a connected monitor.
        name: the instance, for the log.
        state: what the guest is doing.

    Raises:
        errors.HypervisorError: the guest was not asked, or this is not known.
    """
    if state.status == _ASLEEP:
        _wake(qmp, name)
        return
    control.system_powerdown(qmp)
    if not state.is_running:
        logging.warning(
            "The guest of %s %s: it can obey its power button only once it runs again",
            name,
            state.words,
        )


def _wake(qmp: QmpConnection, name: str) -> None:
    """Wake a guest, and press its power button until it has certainly noticed."""
    logging.info("The guest of %s sleeps: waking it, so that it can shut down", name)
    try:
        control.system_wakeup(qmp)
    except QmpRefusedError as err:
        # It may have woken up by itself meanwhile.
        logging.warning("The guest of %s could not be woken: %s", name, err)
    control.system_powerdown(qmp)
    try:
        for seconds in _WHILE_WAKING:
            time.sleep(seconds)
            control.system_powerdown(qmp)
    except QmpLostError as err:
        logging.info("The QEMU of %s has gone: %s", name, err)
