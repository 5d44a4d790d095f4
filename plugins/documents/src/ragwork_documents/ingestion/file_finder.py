"""The files that ``ragwork ingest PATH…`` means (folders, patterns, ZIP archives), and their documents' ids."""

import glob
import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import attrs

_WILDCARD: Final = re.compile(r"[*?\[]")
#: Paths that are ids as they are, but for the slash.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-/]{0,127}")
MAX_ID: Final = 128
#: Leaves room for a part of the path and a digest.
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._:\-]{0,59})?")
_OTHER: Final = re.compile(r"[^A-Za-z0-9._\-]+")
_ARCHIVE: Final = ".zip"
#: What archives made on a Mac hold beside the files.
_RESOURCES: Final = "__MACOSX"


class BadPath(Exception):
    """A path has no file to ingest. The text says which and why."""


class TooLarge(Exception):
    """A file has more bytes than a document may."""


@attrs.frozen(kw_only=True)
class FoundFile:
    """A file, or a member of an archive. ``name`` is its path below what was typed, with slashes."""

    document_id: str
    name: str
    path: Path
    member: str | None = None

    @property
    def where(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}, {self.member}"

    def read(self, most: int) -> bytes:
        """Its content. Raises ``TooLarge`` for more than ``most`` bytes, ``OSError`` and ``zipfile.BadZipFile``."""
        if self.member is None:
            with self.path.open("rb") as file:
                data = file.read(most + 1)
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                data = file.read(most + 1)
        if len(data) > most:
            raise TooLarge(f"has more than {most} bytes, which is the most that INGEST_MAX_BYTES lets in")
        return data


def find(paths: Sequence[Path], prefix: str = "") -> Sequence[FoundFile]:
    """Every file that ``paths`` mean, in order, without hidden ones. ``prefix`` begins each id.

    Raises ``BadPath`` for one without a file, for two files that would be one document, and for a prefix of no id.
    """
    try:
        check_prefix(prefix)
    except ValueError as error:
        raise BadPath(str(error)) from None
    found: dict[str, FoundFile] = {}
    for path in paths:
        files = [_found(path, name, member, prefix) for path, name, member in _files(path)]
        if not files:
            raise BadPath(f"{path} {'holds no file' if path.is_dir() else 'does not exist'}")
        for file in files:
            other = found.setdefault(file.document_id, file)
            if other is not file:
                raise BadPath(f"{other.where} and {file.where} would both be document {file.document_id!r}")
    return list(found.values())


def check_prefix(prefix: str) -> None:
    """Raises ``ValueError`` for one that can't begin an id."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"--prefix {prefix!r} needs 60 letters, digits and . _ : - at most, a letter or digit first"
        )


def document_id_of(name: str, prefix: str = "") -> str:
    """The id of the file at the relative path ``name``: the path with colons for slashes where that is an id, else a
    readable part of it and a digest, so that no two paths have one id.
    """
    if _PLAIN.fullmatch(name) and len(prefix + name) <= MAX_ID:
        return (prefix + name).replace("/", ":")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    readable = _OTHER.sub("-", name).strip("-._")[: 100 - len(prefix)]
    return f"{prefix}{readable}-{digest}" if readable else f"{prefix}{digest}"


def _found(path: Path, name: str, member: str | None, prefix: str) -> FoundFile:
    return FoundFile(document_id=document_id_of(name, prefix), name=name, path=path, member=member)


def _files(path: Path) -> Iterator[tuple[Path, str, str | None]]:
    """(file, its relative path, member of an archive)."""
    if path.is_file() and path.suffix.lower() == _ARCHIVE:
        yield from ((path, name, name) for name in _members(path))
    elif path.is_file():
        yield path, path.name, None
    elif path.is_dir():
        yield from ((file, file.relative_to(path).as_posix(), None) for file in _below(path, "**/*"))
    elif _WILDCARD.search(str(path)):
        fixed = Path(*_until_wildcard(path.parts))
        pattern = path.relative_to(fixed).as_posix()
        yield from ((file, file.relative_to(fixed).as_posix(), None) for file in _below(fixed, pattern))


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    for name in sorted(glob.glob(pattern, root_dir=folder, recursive=True)):
        file = folder / name
        if file.is_file():
            yield file


def _until_wildcard(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if _WILDCARD.search(part):
            return
        yield part


def _members(path: Path) -> Sequence[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise BadPath(f"{path} is no ZIP archive that can be read: {error}") from None
    return sorted(name for name in names if not any(_is_hidden(part) for part in PurePosixPath(name).parts))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == _RESOURCES
