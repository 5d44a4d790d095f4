"""Lets the tests of this folder share ``in_process``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
