"""Plugin ``parsing``: the text of files, by parsers that run in processes which can be killed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ragwork_hooks.parsing import PARSER, DocumentParsing
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_parsing.config import ParsingConfig


class ParsingPlugin:
    """Declares the kind ``parser``, provides ``DocumentParsing``, and brings the parser ``text``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="parsing",
            summary="The text of files: detects their types, parses each in a process that can be killed",
            config=ParsingConfig,
            kinds=(PARSER,),
            provides=(DocumentParsing,),
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[ParsingConfig]) -> Contribution:
        from ragwork_parsing.parsing_service import ParsingService
        from ragwork_parsing.sandbox.confinement import obstacle

        reason = obstacle()
        if reason is not None:
            raise RuntimeError(reason)
        service = ParsingService(context.services, context.config)

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            try:
                yield
            finally:
                await service.close()

        return Contribution(capabilities={DocumentParsing: service}, lifespan=lifespan, warm=service.warm)


plugin = ParsingPlugin()
