"""What is wrong with this node, as findings, and which of it can safely be put right."""
