"""Settings of the plugin ``parsing``."""

import os

import attrs
from ragwork_hooks.parsing import PARSER, ParseLimits
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class ParsingConfig:
    """Who parses, in how many processes, and what one file may hold and take."""

    parsers: tuple[str, ...] = setting(
        "PARSING_PARSERS",
        (),
        "Parsers that are used; the first that takes a type parses it; empty: all that there are, by name",
        binds=PARSER,
    )
    processes: int = setting(
        "PARSING_PROCESSES",
        0,
        "Processes that parse one tenant's files, and one more for the others; 0: two, on one or two cores one",
        ge=0,
        le=64,
    )
    timeout_s: float = setting(
        "PARSING_TIMEOUT_S", 120.0, "Longest that parsing one file may take, in seconds", ge=0.1, le=3_600
    )
    cpu_s: int = setting(
        "PARSING_CPU_S", 60, "Processor time that parsing one file may take, in seconds", ge=1, le=3_600
    )
    memory_mb: int = setting(
        "PARSING_MEMORY_MB", 1_024, "Address space of a process that parses, in megabytes", ge=256, le=65_536
    )
    output_mb: int = setting(
        "PARSING_OUTPUT_MB",
        128,
        "Most that parsing one file may give, in megabytes, attachments included",
        ge=1,
        le=1_024,
    )
    max_pages: int = setting("PARSING_MAX_PAGES", 5_000, "Pages, slides or sheets of one file", ge=1)
    max_rows: int = setting("PARSING_MAX_ROWS", 200_000, "Rows of all tables of one file", ge=1)
    max_columns: int = setting("PARSING_MAX_COLUMNS", 1_000, "Columns of one table", ge=1)
    max_characters: int = setting(
        "PARSING_MAX_CHARACTERS", 20_000_000, "Characters of text of one file", ge=1
    )
    max_expansion: int = setting(
        "PARSING_MAX_EXPANSION", 200, "Bytes that an archive may unpack to for each of its own", ge=1
    )
    max_members: int = setting("PARSING_MAX_MEMBERS", 10_000, "Files in one archive", ge=1)
    max_nesting: int = setting(
        "PARSING_MAX_NESTING", 200, "How deep a file's elements or values stand in each other", ge=1, le=500
    )

    @property
    def places(self) -> int:
        """How many one tenant may use. A core is left to the server."""
        return self.processes or (2 if (os.cpu_count() or 1) > 2 else 1)

    @property
    def limits(self) -> ParseLimits:
        return ParseLimits(
            pages=self.max_pages,
            rows=self.max_rows,
            columns=self.max_columns,
            characters=self.max_characters,
            expansion=self.max_expansion,
            members=self.max_members,
            nesting=self.max_nesting,
        )
