"""The operator's command, ``ganeti-hv-kvm``.

It works on a node whose Ganeti, node daemon or guests do not. Rooms, from above: `program`;
`commands`, one module a command; `why`, `doctor`, `qmp`, `bundle`, what is behind those of their
names; `ganeti_child`, `enabling`, `interpreter`, `site_hook` (Ganeti, in a process of its own, and
which Python gets the package); `node` (what lies on this node, without Ganeti); `frame` (tables,
options, errors, findings).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: "Sequence[str] | None" = None) -> int:
    """Carry out one command, and give the exit status (`frame.exit_status`)."""
    from ganeti_hv_kvm.cli import program

    return program.main(argv)
