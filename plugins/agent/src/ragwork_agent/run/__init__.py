"""One run: retrieve, generate, check citations, stream."""
