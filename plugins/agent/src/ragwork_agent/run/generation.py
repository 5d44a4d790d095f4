"""Who answers a run, and how: what the corpus says, else what the operator says."""

from collections.abc import Sequence

import attrs
from ragwork_hooks.documents import Corpus
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatModel, GenerationSettings
from ragwork_hooks.provider_kinds import LLM
from ragwork_hooks.services import Providers

NOTHING_SAID = GenerationSettings()


def of_corpora(corpora: Sequence[Corpus]) -> GenerationSettings:
    """What the first corpus says that says anything."""
    said = (corpus.generation for corpus in corpora if corpus.generation is not None)
    return next(said, NOTHING_SAID)


async def open_model(
    providers: Providers, operators: str, generation: GenerationSettings
) -> tuple[ChatModel, GenerationSettings]:
    """The model that answers, and how it is asked; the provider is ``operators`` unless ``generation`` names one.
    Where it can't be opened, the first that can of those to stand in, with a model of its own settings.

    Raises ``ProviderError``, the first provider's own.
    """
    first, others = generation.provider or operators, generation.fallback or ()
    try:
        return await providers.open(LLM, first), generation
    except ProviderError as error:
        for number, name in enumerate(others, 1):
            try:
                model = await providers.open(LLM, name)
            except ProviderError:
                continue
            return model, attrs.evolve(generation, model=None, fallback=others[number:])
        raise error
