"""What is wrong with one guest, as findings made of what was asked of it; nothing is asked here."""
