"""Shutdowns from within a guest, which Ganeti's daemon kvmd notices (parameter user_shutdown).

kvmd listens on a QMP socket of its own in each guest. When a guest shuts down without having been
asked to, it writes a file, and the instance counts as shut down by its user.
"""

from __future__ import annotations

import logging
import os

from ganeti import constants, errors, pathutils, utils


def ensure_daemon() -> None:
    """Start kvmd unless it runs.

    Raises:
        errors.HypervisorError: it cannot be started.
    """
    if utils.IsDaemonAlive(constants.KVMD):
        return
    result = utils.RunCmd([pathutils.DAEMON_UTIL, "start", constants.KVMD])
    if result.failed:
        raise errors.HypervisorError(
            f"{constants.KVMD}, which the parameter {constants.HV_KVM_USER_SHUTDOWN} needs, cannot"
            f" be started: {result.fail_reason} {result.output.strip()}"
        )
    logging.info("Started %s", constants.KVMD)


def show_again(socket: str) -> None:
    """Let kvmd see a guest's socket appear a second time, now that QEMU answers on it.

    kvmd connects as soon as a socket appears, and never again. QEMU makes the socket first and
    listens on it then: in 4 of 10 starts on two CPUs kvmd was the faster, was refused, and would
    not have noticed the user's shutdown. If kvmd is connected already, it does nothing.
    """
    hidden = f"{socket}.hidden"
    try:
        os.rename(socket, hidden)
        try:
            os.link(hidden, socket)
        except OSError:
            os.rename(hidden, socket)
            raise
        os.unlink(hidden)
    except OSError as err:
        logging.warning("%s may not notice the user's shutdown: %s", constants.KVMD, err)
