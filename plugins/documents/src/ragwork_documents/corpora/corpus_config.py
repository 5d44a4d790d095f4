"""``provider_config_json`` of a corpus: checked strictly, normalised, and read once into plain values."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.errors import Problem
from ragwork_hooks.llm import GenerationSettings
from ragwork_hooks.provider_kinds import EMBEDDING, RETRIEVAL
from ragwork_hooks.reranking import RERANKER
from ragwork_hooks.retrieval import Reranking
from ragwork_hooks.services import Providers

from ragwork_documents.corpora.config_checks import ROOT, json_object, known_keys, one_of
from ragwork_documents.corpora.generation_config import bind_generation, generation_json
from ragwork_documents.ingestion.input_checks import check_storable, invalid

DEFAULT_RETRIEVER: Final = "local_pgvector"
DEFAULT_TOP_K: Final = 5
MAX_TOP_K: Final = 50
MAX_DEFAULT_READERS: Final = 100
DEFAULT_RERANK_TOP_N: Final = 30
DEFAULT_RERANK_BUDGET_MS: Final = 400
MAX_RERANK_BUDGET_MS: Final = 10_000

_RERANKING_KEYS: Final = ("rerank_top_n", "rerank_budget_ms")
_OWN_KEYS: Final = frozenset(
    {"provider", "top_k_default", "min_score", "embedder", "fallback", "shadow", "shadow_options", "reranker"}
    | set(_RERANKING_KEYS)
)
_READER_TYPES: Final = ("user", "api_key", "group", "role")
_ROLES: Final = tuple(role.label for role in Role)


@attrs.frozen(kw_only=True)
class CorpusBinding:
    """What a corpus' configuration means. ``json`` is its normalised form; ``embedder`` is ``None``
    when the configuration leaves the corpus' embedder as it is. ``create_readers`` is asked for once
    and not kept.
    """

    json: Mapping[str, object]
    retriever: str
    embedder: str | None
    top_k_default: int
    options: Mapping[str, object]
    fallback: Sequence[str]
    shadow: str | None
    shadow_options: Mapping[str, object]
    generation: GenerationSettings | None
    reranking: Reranking | None
    default_readers: Sequence[str]
    create_readers: bool


async def bind(config: Mapping[str, object], providers: Providers, tenant_id: str) -> CorpusBinding:
    """Normalise ``config``; ``{}`` is the local retriever with 5 passages.

    Raises ``Problem`` 422 naming the path of a wrong value and the nearest match of an unknown key.
    """
    check_storable(config, [*ROOT])
    known_keys(config, ("retrieval", "generation", "acl"), [*ROOT])
    retrieval = json_object(config.get("retrieval", {}), [*ROOT, "retrieval"])
    acl = dict(json_object(config.get("acl", {}), [*ROOT, "acl"]))
    create = acl.pop("create", False)
    if not isinstance(create, bool):
        raise invalid([*ROOT, "acl", "create"], "must be true or false")
    retriever = _retriever(retrieval, providers)
    options = {key: value for key, value in retrieval.items() if key not in _OWN_KEYS}
    await providers.check(RETRIEVAL, retriever, options, tenant_id)
    shadow, shadow_options = await _shadow(retrieval, providers, tenant_id)
    top_k = _whole_number(retrieval, "top_k_default", DEFAULT_TOP_K, MAX_TOP_K)
    _check_min_score(retrieval.get("min_score", 0))
    normalised: dict[str, object] = {
        "retrieval": {**retrieval, "provider": retriever, "top_k_default": top_k}
    }
    generation = await bind_generation(config.get("generation"), providers)
    if generation is not None:
        normalised["generation"] = generation_json(generation)
    if acl:
        normalised["acl"] = acl
    return CorpusBinding(
        json=normalised,
        retriever=retriever,
        embedder=_embedder(retrieval, providers),
        top_k_default=top_k,
        options=options,
        fallback=_fallback(retrieval, providers),
        shadow=shadow,
        shadow_options=shadow_options,
        generation=generation,
        reranking=_reranking(retrieval, providers),
        default_readers=_default_readers(acl, tenant_id),
        create_readers=create,
    )


def check_embedder(name: str, providers: Providers, path: list[str | int]) -> str:
    """``name`` if an embedding provider is called so, else ``Problem`` 422."""
    return one_of(name, providers.names(EMBEDDING), path)


def _retriever(retrieval: Mapping[str, object], providers: Providers) -> str:
    path: list[str | int] = [*ROOT, "retrieval", "provider"]
    name = retrieval.get("provider", DEFAULT_RETRIEVER)
    return one_of(name, providers.names(RETRIEVAL), path)


def _embedder(retrieval: Mapping[str, object], providers: Providers) -> str | None:
    if "embedder" not in retrieval:
        return None
    path: list[str | int] = [*ROOT, "retrieval", "embedder"]
    return one_of(retrieval["embedder"], providers.names(EMBEDDING), path)


def _fallback(retrieval: Mapping[str, object], providers: Providers) -> Sequence[str]:
    path: list[str | int] = [*ROOT, "retrieval", "fallback"]
    names = retrieval.get("fallback", [])
    if not isinstance(names, list):
        raise invalid(path, "must be a list of retrieval providers")
    known = providers.names(RETRIEVAL)
    return [one_of(name, known, [*path, number]) for number, name in enumerate(names)]


async def _shadow(
    retrieval: Mapping[str, object], providers: Providers, tenant_id: str
) -> tuple[str | None, Mapping[str, object]]:
    """The shadow may be the corpus' own provider: its other options are what is compared then."""
    path: list[str | int] = [*ROOT, "retrieval"]
    options = json_object(retrieval.get("shadow_options", {}), [*path, "shadow_options"])
    if retrieval.get("shadow") is None:
        if options:
            raise invalid([*path, "shadow_options"], "needs shadow, the provider they are for")
        return None, {}
    shadow = one_of(retrieval["shadow"], providers.names(RETRIEVAL), [*path, "shadow"])
    try:
        await providers.check(RETRIEVAL, shadow, options, tenant_id)
    except Problem as problem:
        raise _within(problem, [*path, "shadow_options"]) from None
    return shadow, options


def _within(problem: Problem, path: list[str | int]) -> Problem:
    """``problem`` with its rows under ``path``: a provider's check speaks of the ``retrieval`` section."""
    rows = problem.details.get("errors")
    if not isinstance(rows, list):
        return problem
    moved = [{**row, "loc": [*path, row["loc"][-1]]} for row in rows]
    return Problem(problem.code, problem.message, details={"errors": moved})


def _reranking(retrieval: Mapping[str, object], providers: Providers) -> Reranking | None:
    path: list[str | int] = [*ROOT, "retrieval"]
    if retrieval.get("reranker") is None:
        for key in _RERANKING_KEYS:
            if key in retrieval:
                raise invalid([*path, key], "needs reranker, the provider it is for")
        return None
    return Reranking(
        reranker=one_of(retrieval["reranker"], providers.names(RERANKER), [*path, "reranker"]),
        top_n=_whole_number(retrieval, "rerank_top_n", DEFAULT_RERANK_TOP_N, MAX_TOP_K),
        budget_ms=_whole_number(
            retrieval, "rerank_budget_ms", DEFAULT_RERANK_BUDGET_MS, MAX_RERANK_BUDGET_MS
        ),
    )


def _whole_number(retrieval: Mapping[str, object], key: str, default: int, largest: int) -> int:
    value = retrieval.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise invalid([*ROOT, "retrieval", key], f"must be a whole number from 1 to {largest}")
    return value


def _check_min_score(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise invalid([*ROOT, "retrieval", "min_score"], "must be a number from 0 to 1")


def _default_readers(acl: Mapping[str, object], tenant_id: str) -> Sequence[str]:
    path: list[str | int] = [*ROOT, "acl"]
    known_keys(acl, ("default_readers",), path)
    path = [*path, "default_readers"]
    readers = acl.get("default_readers", [])
    if not isinstance(readers, list) or len(readers) > MAX_DEFAULT_READERS:
        raise invalid(path, f"must be a list of at most {MAX_DEFAULT_READERS} readers")
    return sorted({_reader(reader, tenant_id, [*path, n]) for n, reader in enumerate(readers)})


def _reader(value: object, tenant_id: str, path: list[str | int]) -> str:
    if value == "tenant":
        return f"tenant:{tenant_id}"
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind not in _READER_TYPES or not 1 <= len(name) <= 128 or not name.isprintable():
        raise invalid(path, f'must be "tenant" or one of {", ".join(_READER_TYPES)} with :<id>')
    if kind == "role":
        one_of(name, _ROLES, path)
    return f"{kind}:{name}"
