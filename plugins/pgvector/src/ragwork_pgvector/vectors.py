"""Which table holds the vectors of a dimension, and how a vector travels to the database and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
from ragwork_hooks.errors import ProviderError

if TYPE_CHECKING:
    from asyncpg import Connection
    from pgvector import HalfVector

#: Dimensions with a graph index of their own, as migration 0001 makes them.
GRAPH_DIMENSIONS: Final = (256, 384, 768, 1024, 1536)
#: The largest dimension that the type halfvec stores.
MAX_DIMENSION: Final = 16_000
#: Where every other dimension lives; scanned exactly.
PLAIN_TABLE: Final = "pgvector.vectors"
ALL_TABLES: Final = (*(f"{PLAIN_TABLE}_{d}" for d in GRAPH_DIMENSIONS), PLAIN_TABLE)


@attrs.frozen
class VectorTable:
    """The table of one dimension. ``type`` is the SQL type of its column ``embedding``."""

    name: str
    type: str
    has_graph: bool


def table_of(dimension: int) -> VectorTable:
    """Where vectors of ``dimension`` live. Raises ``ProviderError`` for one that can't be stored."""
    if not 1 <= dimension <= MAX_DIMENSION:
        raise ProviderError(
            "EMBEDDING_DIMENSION_MISMATCH",
            f"vectors of {dimension} numbers can't be stored; 1 to {MAX_DIMENSION} can",
        )
    if dimension in GRAPH_DIMENSIONS:
        return VectorTable(f"{PLAIN_TABLE}_{dimension}", f"public.halfvec({dimension})", True)
    return VectorTable(PLAIN_TABLE, "public.halfvec", False)


def packed(vector: Sequence[float]) -> "HalfVector":
    """The vector as the database takes it, alone and in an array. Raises ``OverflowError`` above 65,504."""
    from pgvector import HalfVector

    return HalfVector(list(vector))


async def register_codecs(connection: "Connection[Any]") -> None:
    """Let vectors travel in pgvector's binary form. Without the extension nothing can, and nothing is registered."""
    from pgvector.asyncpg import register_vector

    try:
        await register_vector(connection, schema="public")
    except ValueError as error:
        if not str(error).startswith("unknown type:"):
            raise
