"""Who answers a run, and how: what the run asks for, else what the corpus says, else what the operator says."""

import difflib
from collections.abc import Sequence

import attrs
from ragwork_hooks.documents import Corpus
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.llm import ChatModel, GenerationOptions, GenerationSettings
from ragwork_hooks.provider_kinds import LLM
from ragwork_hooks.services import Providers

NOTHING_SAID = GenerationSettings()


def of_corpora(corpora: Sequence[Corpus]) -> GenerationSettings:
    """What the first corpus says that says anything."""
    said = (corpus.generation for corpus in corpora if corpus.generation is not None)
    return next(said, NOTHING_SAID)


def overridden(
    said: GenerationSettings, asked: GenerationOptions | None, operators: str
) -> GenerationSettings:
    """``said`` with what a run asks for in its place. A model is its provider's own: it goes with another provider."""
    if asked is None:
        return said
    changes = attrs.asdict(asked, filter=lambda _field, value: value is not None)
    if asked.provider not in (None, said.provider or operators):
        changes.setdefault("model", None)
    return attrs.evolve(said, **changes)


async def check_provider(providers: Providers, asked: GenerationOptions | None) -> None:
    """Raise ``Problem`` 422 for a provider that nobody offers, or that lacks a setting."""
    if asked is None or asked.provider is None:
        return
    names = providers.names(LLM)
    if asked.provider not in names:
        near = difflib.get_close_matches(asked.provider, names, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise _refused(f"{asked.provider!r} is not one of {', '.join(names)}{advice}", "literal_error")
    reason = await providers.unready(LLM, asked.provider)
    if reason is not None:
        raise _refused(f"names {asked.provider!r}, which {reason}", "value_error")


def _refused(message: str, kind: str) -> Problem:
    row = {"type": kind, "loc": ["body", "generation", "provider"], "msg": message}
    return Problem("REQUEST_VALIDATION_ERROR", "Validation error", details={"errors": [row]})


async def open_model(
    providers: Providers, operators: str, generation: GenerationSettings
) -> tuple[ChatModel, GenerationSettings]:
    """The model that answers, and how it is asked; its ``provider`` is ``operators`` unless ``generation`` names one.
    Where that can't be opened, the first that can of those to stand in, with a model of its own settings.

    Raises ``ProviderError``, the first provider's own.
    """
    first, others = generation.provider or operators, generation.fallback or ()
    try:
        return await providers.open(LLM, first), attrs.evolve(generation, provider=first)
    except ProviderError as error:
        for number, name in enumerate(others, 1):
            try:
                model = await providers.open(LLM, name)
            except ProviderError:
                continue
            return model, attrs.evolve(generation, provider=name, model=None, fallback=others[number:])
        raise error
