"""What every engine of Rego policies must know of the language: its words, its older dialect, its modules."""
