"""A guest's life on this node: how it is asked to go, and how it comes back."""
