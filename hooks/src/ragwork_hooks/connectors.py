"""Sources of files outside the platform: what a connector lists and reads, so that a corpus can be kept in step."""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Final, Protocol

import attrs

from ragwork_hooks.provider_kinds import ProviderKind


@attrs.frozen(kw_only=True)
class SourceItem:
    """A file at its source. ``key`` is its path there, with slashes, and its own; ``version`` changes whenever the
    content does, and is compared for equality only. ``size`` is in bytes.
    """

    key: str
    version: str
    size: int
    modified: datetime | None = None


class FileSource(Protocol):
    """A place with files, such as a folder or a bucket. Hidden files (a part of the path begins with a dot) are not
    listed.
    """

    def items(self) -> AsyncGenerator[SourceItem, None]:
        """Every file once, in any order. What can't be listed to its end raises ``ProviderError``: a listing that
        ends early would have the rest deleted.
        """

    async def read(self, item: SourceItem, max_bytes: int) -> bytes:
        """The content of ``item`` as it is now. Raises ``ProviderError``, also for a file that is gone and for one
        of more than ``max_bytes``.
        """


class Connector(Protocol):
    """Provider of kind ``connector``."""

    @property
    def name(self) -> str: ...

    def open(self, options: Mapping[str, object]) -> FileSource:
        """The source that ``options`` mean, which were held against the provider's class. No I/O."""


CONNECTOR: Final = ProviderKind("connector", Connector, "CONNECTOR_CONFIG_INVALID")
