"""What lies on this node beside QEMU, as far as parameters are about that."""

from __future__ import annotations

import contextlib
import os
import pwd

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import HvParams, text, text_or_none


def check_user(hvparams: HvParams) -> None:
    """QEMU gives up root's rights for another user's, and ends where it could take them back."""
    if hvparams[constants.HV_SECURITY_MODEL] != constants.HT_SM_USER:
        return
    user = text(hvparams, constants.HV_SECURITY_DOMAIN)
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        raise errors.HypervisorError(
            f"this node has no user {user}, as whom QEMU is to run"
        ) from None
    if uid == 0:
        raise errors.HypervisorError(
            f"{constants.HV_SECURITY_DOMAIN} is '{user}', which is root; QEMU runs as another user"
            f" then, or with {constants.HV_SECURITY_MODEL}={constants.HT_SM_NONE}"
        )


def check_vnc_folder(hvparams: HvParams) -> None:
    """The folder in which VNC's socket is to be made is there."""
    bind = text_or_none(hvparams, constants.HV_VNC_BIND_ADDRESS)
    if bind and utils.IsNormAbsPath(bind) and not os.path.isdir(bind):
        raise errors.HypervisorError(
            f"{constants.HV_VNC_BIND_ADDRESS} is '{bind}', which is no folder of this node, so that"
            " VNC can have no socket there"
        )


def check_keymap(hvparams: HvParams) -> None:
    """VNC's keyboard layout is one of those beside this QEMU, where it has them in a folder."""
    layout = text_or_none(hvparams, constants.HV_KEYMAP)
    if not layout or not hvparams[constants.HV_VNC_BIND_ADDRESS]:
        return
    qemu = os.path.realpath(text(hvparams, constants.HV_KVM_PATH))
    folder = os.path.join(os.path.dirname(os.path.dirname(qemu)), "share/qemu/keymaps")
    # one of them is always there; a path is QEMU's own matter
    if os.path.exists(f"{folder}/en-us") and "/" not in layout:
        with contextlib.suppress(OSError):
            if layout not in os.listdir(folder):
                raise errors.HypervisorError(
                    f"{constants.HV_KEYMAP} is '{layout}', which is no file in {folder}"
                )


def _is_program(path: str) -> bool:
    """Whether a file is QEMU itself, and no script that adds words of its own."""
    try:
        with open(path, "rb") as program:
            return program.read(4) == b"\x7fELF"
    except OSError:
        return False


def check_cpu(hvparams: HvParams) -> None:
    """The node's own CPU goes with KVM alone."""
    needs_kvm = text(hvparams, constants.HV_CPU_TYPE).partition(",")[0] == "host"
    asks = hvparams[constants.HV_KVM_FLAG] == constants.HT_KVM_ENABLED
    # people also ask for it in these
    words = f"{hvparams[constants.HV_KVM_EXTRA]} {hvparams[constants.HV_KVM_MACHINE_VERSION]}"
    if not needs_kvm or asks or "kvm" in words:
        return
    path = text(hvparams, constants.HV_KVM_PATH)
    # a QEMU of the name kvm uses it unasked
    if _is_program(path) and not path.endswith("kvm"):
        raise errors.HypervisorError(
            f"{constants.HV_CPU_TYPE} is 'host', which needs KVM, but"
            f" {constants.HV_KVM_FLAG} is not '{constants.HT_KVM_ENABLED}'"
        )
