"""The provider ``data`` of kind ``parser``."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
from ragwork_hooks.parsing import Parsed, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext

from ragwork_data import json_values, separated_values

CSV, TSV, JSON = "text/csv", "text/tab-separated-values", "application/json"
JSON_LINES, NOTEBOOK = "application/x-ndjson", "application/x-ipynb+json"


@attrs.frozen
class DataParser:
    """Implements ``ragwork_hooks.parsing.Parser``."""

    name: ClassVar[str] = "data"
    media_types: ClassVar[Sequence[str]] = (CSV, TSV, JSON, JSON_LINES, NOTEBOOK)
    extensions: ClassVar[Mapping[str, str]] = {
        ".csv": CSV, ".tsv": TSV, ".tab": TSV, ".json": JSON, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES,
        ".ipynb": NOTEBOOK,
    }  # fmt: skip

    def load(self) -> None:
        """Nothing that takes time."""

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        text = source.data.decode(source.encoding, "replace")
        if source.media_type in (CSV, TSV):
            return separated_values.read(text, source, "\t" if source.media_type == TSV else None)
        if source.media_type == JSON_LINES:
            return json_values.read_lines(text, source)
        return json_values.read(text, source)


async def _open(context: ProviderContext[object]) -> Parser:
    return DataParser()


provider: Provider[Parser] = Provider(name="data", open=_open)
