"""A guest's life on this node: start, stop, reboot, balloon, pinning, listing, console."""
