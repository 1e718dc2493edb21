"""Runs the same scenario on Ganeti's original module and on ours, each in a process of its own.

A scenario says what ought to happen. On the original it must end in a `Fault`: that is what shows
that the scenario can see the fault at all.
"""
