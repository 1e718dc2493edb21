"""This node: what it lends to guests, and what of it may be short."""
