"""What the demo and the system tests share: a guest, a private network, a Ganeti node root."""
