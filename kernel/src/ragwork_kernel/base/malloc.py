"""What the C library does with large blocks that are freed."""

import ctypes
from typing import Final

#: ``mallopt(3)``: from so many bytes on a block is mapped for itself, and goes back to the system when it is freed.
_M_MMAP_THRESHOLD: Final = -3
#: glibc's own, which it raises up to 32 MB with each large block that it frees, unless somebody sets it.
_LARGE: Final = 131_072


def return_large_blocks() -> None:
    """Give the memory of large bodies back when they are done. Does nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
