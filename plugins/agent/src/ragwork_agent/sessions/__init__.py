"""Sessions, their turns and messages, and the lease of a run on one."""
