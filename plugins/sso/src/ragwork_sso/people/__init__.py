"""The people behind the accounts."""
