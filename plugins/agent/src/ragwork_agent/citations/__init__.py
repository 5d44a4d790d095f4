"""Citations: marks in the answer, and quotes that are true."""
