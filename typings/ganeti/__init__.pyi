"""What this package uses of Ganeti 3.0 and later; its own code carries no types."""
