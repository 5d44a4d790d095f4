"""Corpora: what is stored of them, whose they are, and which providers they are bound to."""
