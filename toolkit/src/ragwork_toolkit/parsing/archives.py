"""ZIP archives within the limits of a file: what unpacks to more, or needs a password, is refused before it is read.

Users: parsing, office, html.
"""

import io
import zipfile
import zlib
from typing import Final

from ragwork_hooks.parsing import ParseError, ParseLimits

from ragwork_toolkit.parsing.block_list import too_many

#: What a small archive may unpack to, whatever its ratio.
_SMALL_BYTES: Final = 10_000_000
_ENCRYPTED: Final = 1


class Archive:
    """The members of an archive by name. Raises ``ParseError`` where it isn't sound or breaks ``limits``."""

    def __init__(self, data: bytes, limits: ParseLimits) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise _damaged(str(error)) from None
        members = self._zip.infolist()
        if len(members) > limits.members:
            raise too_many("files inside it", limits.members)
        most = max(len(data) * limits.expansion, _SMALL_BYTES)
        # A member that lies about its size is cut at what it says, and its checksum is wrong then.
        if sum(member.file_size for member in members) > most:
            raise ParseError(
                "resource_limit",
                f"The file unpacks to more than {most // 1_000_000:,} MB, {limits.expansion} times its size",
            )
        if any(member.flag_bits & _ENCRYPTED for member in members):
            raise ParseError(
                "encrypted", "The file needs a password: save it without one and upload it again"
            )
        self._names = {member.filename: member for member in members}

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def read(self, name: str) -> bytes:
        """The content of the member ``name``."""
        member = self._names.get(name)
        if member is None:
            raise _damaged(f"{name} is missing")
        try:
            return self._zip.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise _damaged(f"{name}: {error}") from None


def _damaged(what: str) -> ParseError:
    return ParseError("corrupt", f"The file is damaged or cut off ({what}): save it again and upload it anew")


def refuse_entities(xml: bytes) -> bytes:
    """``xml``, unless it declares entities: they make bombs, read files and reach out, and no format needs them."""
    if b"<!ENTITY" in xml:
        raise ParseError("corrupt", "The file declares XML entities, which is not safe to read: save it anew")
    return xml
