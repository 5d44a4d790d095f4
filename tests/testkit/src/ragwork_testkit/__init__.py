"""Contract kits and fixtures: how a plugin proves that it keeps the promises of its seam."""
