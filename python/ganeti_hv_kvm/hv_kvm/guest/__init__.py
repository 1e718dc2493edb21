"""One guest on this node: its files, its process, and how a failed change is undone."""
