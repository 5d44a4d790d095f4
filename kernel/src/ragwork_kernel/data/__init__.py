"""Data: the database and what lives by it: transactions, migrations, roles, caches, notifications."""
