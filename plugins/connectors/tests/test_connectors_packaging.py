"""``ragwork-connectors`` is packaged as an operator may rely on."""

from pathlib import Path

from ragwork_testkit.packaging import PackagingContract


class TestPackaging(PackagingContract):
    folder = Path(__file__).parents[1]
