"""What adapters of outside services share."""
