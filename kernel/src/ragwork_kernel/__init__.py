"""What an operator runs: the kernel of Ragwork. No feature lives here."""
