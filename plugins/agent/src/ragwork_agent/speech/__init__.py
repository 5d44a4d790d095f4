"""Answers spoken: audio, and who may hear it."""
