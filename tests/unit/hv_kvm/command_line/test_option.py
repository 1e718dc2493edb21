"""The grammar of one argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm.command_line.option import properties, unix_server


def test_parts() -> None:
    assert properties("head", None, ("key", 1), "flag", ("path", "/a,b")) == (
        "head,key=1,flag,path=/a,,b"
    )


def test_sockets() -> None:
    assert unix_server("/run/a,b") == "unix:/run/a,,b,server,nowait"


@given(st.text("ab,", min_size=1), st.text("ab,", min_size=1))
def test_no_value_runs_into_the_next(first: str, second: str) -> None:
    argument = properties(("x", first), ("y", second))

    left, _, right = argument.replace(",,", "\0").partition(",")
    assert left.replace("\0", ",") == f"x={first}"
    assert right.replace("\0", ",") == f"y={second}"
