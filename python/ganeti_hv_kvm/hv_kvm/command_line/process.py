"""The QEMU process on its node: monitors, keymap, start state, user and chroot."""

from __future__ import annotations

from collections.abc import Sequence

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from .option import properties, unix_server
from .request import Completion, StartRequest

START_PAUSED = "-S"


def _restrictions(facts: QemuFacts, user: str | None, chroot: str | None) -> list[str]:
    """Run as another user, in another root folder.

    QEMU moved each of the two from a switch of its own to -run-with at a different time; while
    both spellings exist, the old switches are used unless -run-with knows both.
    """
    wanted = {"user": ("-runas", user), "chroot": ("-chroot", chroot)}
    offered = {prop for prop in wanted if facts.runs_with(prop)}
    modern = [
        (prop, value)
        for prop, (switch, value) in wanted.items()
        if value and prop in offered and (len(offered) > 1 or not facts.has_switch(switch))
    ]
    old = [
        (switch, value)
        for prop, (switch, value) in wanted.items()
        if value and (prop, value) not in modern
    ]
    arguments = ["-run-with", properties(*modern)] if modern else []
    for switch, value in old:
        arguments += [switch, value]
    return arguments


def stored_chroot(request: StartRequest) -> list[str]:
    """The chroot of a dialect that stores it with the command."""
    if not request.hvp[constants.HV_KVM_USE_CHROOT]:
        return []
    return _restrictions(request.facts, None, request.paths.chroot)


def _configured_user(completion: Completion) -> str | None:
    if completion.today[constants.HV_SECURITY_MODEL] != constants.HT_SM_USER:
        return None
    return str(completion.today[constants.HV_SECURITY_DOMAIN])


def configured_user(completion: Completion, _command: Sequence[str]) -> list[str]:
    """The user of security_model=user."""
    return _restrictions(completion.facts, _configured_user(completion), None)


def pool_user(completion: Completion, _command: Sequence[str]) -> list[str]:
    """The user of security_model=pool."""
    return _restrictions(completion.facts, completion.pool_user, None)


def user_and_chroot(completion: Completion, _command: Sequence[str]) -> list[str]:
    """User and chroot of a dialect that adds both at execution."""
    chroot = completion.paths.chroot if completion.today[constants.HV_KVM_USE_CHROOT] else None
    user = _configured_user(completion) or completion.pool_user
    return _restrictions(completion.facts, user, chroot)


def keymap(completion: Completion, _command: Sequence[str]) -> list[str]:
    """-k: the keyboard layout of VNC."""
    layout = text_or_none(completion.today, constants.HV_KEYMAP)
    return ["-k", layout] if layout else []


def monitors(completion: Completion, _command: Sequence[str]) -> list[str]:
    """Two QMP monitors, one for Ganeti's operations, one for its daemon kvmd."""
    if not completion.facts.has_switch("-qmp"):
        return []
    sockets = (completion.paths.qmp, completion.paths.kvmd)
    return [word for path in sockets for word in ("-qmp", unix_server(path))]


def start_paused(completion: Completion, command: Sequence[str]) -> list[str]:
    """-S: passwords, CPU masks and the balloon are set before the guest runs.

    An incoming guest waits by itself.
    """
    return [] if completion.incoming or START_PAUSED in command else [START_PAUSED]
