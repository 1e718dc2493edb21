"""What this package knows of the Ganeti that it runs under."""
