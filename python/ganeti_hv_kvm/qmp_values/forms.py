"""The form of a reply, looked at before a member of it is used.

A reply of another form than QMP's is the peer's fault, and said to be that: neither an error of
Python's own nor one that blames a file of this node.
"""

from __future__ import annotations

from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.qmp_values.run_state import quoted


def an_object(command: str, told: object) -> dict[str, object]:
    """Give what was told, which is to be an object.

    Args:
        command: what was asked, for the error.

    Raises:
        HypervisorError: it is something else.
    """
    if not isinstance(told, dict):
        raise _of_another_form(command, told)
    return told


def a_list(command: str, told: object) -> list[object]:
    """Give what was told, which is to be a list; raises as ``an_object`` does."""
    if not isinstance(told, list):
        raise _of_another_form(command, told)
    return told


def objects(command: str, told: object) -> list[dict[str, object]]:
    """Give what was told, which is to be a list of objects; raises as ``an_object`` does."""
    return [an_object(command, one) for one in a_list(command, told)]


def a_text(command: str, told: object) -> str:
    """Give what was told, which is to be a text; raises as ``an_object`` does."""
    if not isinstance(told, str):
        raise _of_another_form(command, told)
    return told


def a_number(command: str, told: object, most: int) -> int:
    """Give what was told, which is to be a whole number from 0 to ``most``; raises likewise."""
    # true and false are whole numbers to Python
    if type(told) is not int or not 0 <= told <= most:
        raise _of_another_form(command, told)
    return told


def named(command: str, told: object, *members: str) -> list[dict[str, object]]:
    """Give what was told, which is to be a list of objects that have these members as texts.

    Raises:
        HypervisorError: it is something else.
    """
    found = objects(command, told)
    for one in found:
        for member in members:
            a_text(command, one.get(member))
    return found


def _of_another_form(command: str, told: object) -> HypervisorError:
    return HypervisorError(f"QEMU's answer to {command} has another form: {quoted(told)}")
