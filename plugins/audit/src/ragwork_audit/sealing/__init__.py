"""How records are sealed: leaves, trees, signed checkpoints, anchors."""
