"""The command ``ragwork ask``: one question from the terminal, through the same run as the API's."""

import asyncio
import sys
from uuid import uuid4

from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.plugin import Command, CommandContext, Option

from ragwork_agent.api import Citation, RunAnswer
from ragwork_agent.audio import Voice
from ragwork_agent.config import Config
from ragwork_agent.run import Asked, Run
from ragwork_agent.workshop import Workshop
