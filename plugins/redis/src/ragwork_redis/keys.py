"""How a scope and a key become one key of the store."""

from typing import Final, Literal, TypeAlias

import attrs

#: One letter per kind of entry: a counter and a value of one name are two entries.
Kind: TypeAlias = Literal["counter", "bucket", "value", "lock", "epoch"]
_LETTER: Final[dict[Kind, str]] = {
    "counter": "c",
    "bucket": "b",
    "value": "v",
    "lock": "l",
    "epoch": "e",
}
_ESCAPES: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


@attrs.frozen
class Keys:
    """Names entries ``<prefix>:{<scope>}:<kind>:<key>``.

    The braces are a cluster's hash tag: all keys of one scope live on one node, so a script may use several.
    """

    prefix: str

    def of(self, kind: Kind, scope: str, key: str) -> bytes:
        """The entry's key; different arguments never give the same one."""
        # A tag that is empty, or ended early by a brace of its own, would not hold the scope's keys together.
        tag = scope.translate(_ESCAPES) or "%"
        return _bytes(f"{self.prefix}:{{{tag}}}:{_LETTER[kind]}:{key}")

    def channel(self, name: str) -> bytes:
        """The name of a pub/sub channel."""
        return _bytes(f"{self.prefix}:{name}")


def _bytes(text: str) -> bytes:
    # What a client sent may hold lone surrogates; that must not be an error here.
    return text.encode("utf-8", "surrogatepass")
