"""How an administrator or a user gets to a guest's console."""

from __future__ import annotations

from collections.abc import Mapping

from ganeti import constants, objects, pathutils, utils

from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles


def socat_parameters() -> str:
    """How socat treats the terminal: raw, with a key to leave, where this socat can do that."""
    if constants.SOCAT_USE_ESCAPE:
        return f"raw,echo=0,escape={constants.SOCAT_ESCAPE_CODE}"
    return "echo=0,icanon=0"


def serial_command(files: InstanceFiles) -> list[str]:
    """The command, run on the guest's node, that joins the terminal to the serial line.

    The wrapper also wakes a paused guest, and so gets the monitor's socket. The words are given to
    a remote shell.
    """
    return [
        pathutils.KVM_CONSOLE_WRAPPER,
        constants.SOCAT_PATH,
        utils.ShellQuote(files.name),
        utils.ShellQuote(files.monitor),
        f"STDIO,{socat_parameters()}",
        f"UNIX-CONNECT:{files.serial}",
    ]


def instance_console(
    instance: objects.Instance,
    primary_node: objects.Node,
    node_group: objects.NodeGroup,
    hvparams: Mapping[str, object],
    files: InstanceFiles,
) -> objects.InstanceConsole:
    """Give Ganeti's ``objects.InstanceConsole``: serial line, VNC, SPICE, or why there is none."""
    if hvparams[constants.HV_SERIAL_CONSOLE]:
        ssh_port = node_group.FillND(primary_node).get(constants.ND_SSH_PORT)
        return objects.InstanceConsole(
            instance=instance.name,
            kind=constants.CONS_SSH,
            host=primary_node.name,
            port=ssh_port,
            user=constants.SSH_CONSOLE_USER,
            command=serial_command(files),
        )
    port = instance.network_port
    vnc_bind = hvparams[constants.HV_VNC_BIND_ADDRESS]
    if vnc_bind and port and port > constants.VNC_BASE_PORT:
        return objects.InstanceConsole(
            instance=instance.name,
            kind=constants.CONS_VNC,
            host=vnc_bind,
            port=port,
            display=port - constants.VNC_BASE_PORT,
        )
    if hvparams[constants.HV_KVM_SPICE_BIND]:
        return objects.InstanceConsole(
            instance=instance.name,
            kind=constants.CONS_SPICE,
            host=hvparams[constants.HV_KVM_SPICE_BIND],
            port=port,
        )
    return objects.InstanceConsole(
        instance=instance.name,
        kind=constants.CONS_MESSAGE,
        message=f"Instance {instance.name} has neither a serial console nor VNC nor SPICE",
    )
