"""What goes into an archive, and what costs one part of it alone."""

from __future__ import annotations

from ganeti_hv_kvm.cli import bundle


def test_a_program_that_prints_without_end_is_ended():
    """Fault: all of it was kept, for as many seconds as each part may take."""
    found = bundle._read("x", lambda: bundle._output(("yes",), 30), 31)
    assert (found.text, found.why_not) == (None, "yes printed more than 16 MiB, and was ended")


def test_what_a_program_says():
    found = bundle._read("x", lambda: bundle._output(("sh", "-c", "echo a; echo b >&2"), 30), 31)
    assert found.text == "$ sh -c echo a; echo b >&2\na\nb\n"


def test_one_that_is_not_there_or_hangs():
    (gone, hung) = (
        bundle._read("x", lambda: bundle._output(("no-such-program",), 30), 31),
        bundle._read("x", lambda: bundle._output(("sleep", "60"), 0.2), 31),
    )
    assert gone.why_not == "no-such-program: No such file or directory"
    assert hung.why_not == "no answer within 0.2 s"
