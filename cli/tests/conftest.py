"""Lets the tests of this folder share ``in_process`` and the fixtures of a sample plugin."""

import sys
from pathlib import Path

from ragwork_testkit.sample_plugin import home as home
from ragwork_testkit.sample_plugin import site as site

sys.path.insert(0, str(Path(__file__).parent))
