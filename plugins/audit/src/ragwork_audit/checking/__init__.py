"""How a log is proved: verification, proofs, exports."""
