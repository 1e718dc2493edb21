"""This node: its network, the files on it, and what of it may be short."""
