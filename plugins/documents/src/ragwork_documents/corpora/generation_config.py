"""The section ``generation`` of ``provider_config_json``: who answers from the corpus, and how."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
from ragwork_hooks.fields import FieldError
from ragwork_hooks.llm import GenerationSettings
from ragwork_hooks.provider_kinds import LLM
from ragwork_hooks.services import Providers

from ragwork_documents.corpora.config_checks import ROOT, json_object, known_keys, one_of
from ragwork_documents.ingestion.input_checks import invalid

_PATH: Final = (*ROOT, "generation")
_KEYS: Final = tuple(field.name for field in attrs.fields(GenerationSettings))
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = MappingProxyType(
    {
        "provider": ((str,), "must be a text"),
        "model": ((str,), "must be a text"),
        "system_prompt": ((str,), "must be a text"),
        "temperature": ((int, float), "must be a number"),
        "max_tokens": ((int,), "must be a whole number"),
        "fallback": ((list,), "must be a list of chat providers"),
    }
)


async def bind_generation(value: object, providers: Providers) -> GenerationSettings | None:
    """What the section says; ``None`` for no section. Raises ``Problem`` 422 naming the path of a wrong value."""
    if value is None:
        return None
    section = json_object(value, [*_PATH])
    known_keys(section, _KEYS, [*_PATH])
    for key, given in section.items():
        types, message = _TYPES[key]
        if isinstance(given, bool) or not isinstance(given, types):
            raise invalid([*_PATH, key], message)
    if "provider" in section:
        await _able(section["provider"], providers, [*_PATH, "provider"])
    found = _settings(section)
    for number, name in enumerate(found.fallback or ()):
        await _able(name, providers, [*_PATH, "fallback", number])
    return found


def generation_json(generation: GenerationSettings) -> dict[str, object]:
    """The section in its normal form: what is said in it, nothing else."""
    said = attrs.asdict(generation, filter=lambda _field, value: value is not None)
    return {key: list(value) if key == "fallback" else value for key, value in said.items()}


def stored_generation(value: Mapping[str, Any] | None) -> GenerationSettings | None:
    """What ``generation_json`` made, read back."""
    if value is None:
        return None
    fallback = value.get("fallback")
    return GenerationSettings(**{**value, "fallback": None if fallback is None else tuple(fallback)})


def _settings(section: Mapping[str, Any]) -> GenerationSettings:
    values = dict(section)
    if "temperature" in values:
        values["temperature"] = float(values["temperature"])
    if "fallback" in values:
        values["fallback"] = tuple(values["fallback"])
    try:
        return GenerationSettings(**values)
    except FieldError as error:
        raise invalid([*_PATH, error.field or ""], str(error), error.kind) from None


async def _able(name: object, providers: Providers, path: list[str | int]) -> None:
    """Refuse a provider that nobody offers, or that lacks a setting."""
    known = one_of(name, providers.names(LLM), path)
    reason = await providers.unready(LLM, known)
    if reason is not None:
        raise invalid(path, f"names {known!r}, which {reason}")
