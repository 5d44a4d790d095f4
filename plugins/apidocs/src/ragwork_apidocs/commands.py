"""The command ``ragwork openapi``."""

from typing import Final

import orjson
from ragwork_hooks.commands import Command, CommandContext

from ragwork_apidocs.openapi import document_of


async def openapi(context: CommandContext) -> int:
    """Print the document, which is JSON with ``--json`` and without."""
    document = document_of(context.services)
    context.console.result(document, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return 0


COMMANDS: Final = (
    Command(path=("openapi",), help="Print the OpenAPI document.", options=(), audit_event=None, run=openapi),
)
