"""A real two-node Ganeti cluster on this machine: nodes are namespaces over an overlay of a root
file system. Everything lives inside `tests/harness/sandbox` and ends with it.
"""
