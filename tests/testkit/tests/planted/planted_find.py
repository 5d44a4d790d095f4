"""Embedders, engines and retrievers with one fault each."""

import asyncio
import hashlib
import math
import random
import re

import attrs
from planting import offer
from planting import plugin as plugin
from ragwork_hooks.errors import NotSupported, ProviderError
from ragwork_hooks.policy import PolicyDecision
from ragwork_hooks.retrieval import Passage


class Embedder:
    name = "planted"
    dimension = 64
    languages = None
    unrelated_cosine = 0.0

    def vector(self, text):
        counts = [1e-3] * 64
        for word in text.lower().split():
            counts[hashlib.sha256(word.encode(errors="replace")).digest()[0] % 64] += 1
        return [count / math.hypot(*counts) for count in counts]

    async def embed(self, texts, purpose):
        vectors = []
        for text in texts:
            await asyncio.sleep(0)
            vectors.append(self.vector(text[:2000]))
        return vectors

    async def aclose(self):
        return None


class ShortVectors(Embedder):
    def vector(self, text):
        return super().vector(text)[:-1]


class LongVectors(Embedder):
    def vector(self, text):
        return [2 * number for number in super().vector(text)]


class NaNs(Embedder):
    def vector(self, text):
        return [math.nan] * 64


class WrongOrder(Embedder):
    async def embed(self, texts, purpose):
        return (await super().embed(texts, purpose))[::-1]


class SortsItsInput(Embedder):
    async def embed(self, texts, purpose):
        texts.sort()
        return await super().embed(texts, purpose)


class RawErrors(Embedder):
    async def embed(self, texts, purpose):
        return [self.vector(text.encode().decode()) for text in texts]


class Reranker:
    name = "planted"

    def score(self, question, text):
        words = {word.strip(".?").lower() for word in question.split()}
        held = {word.strip(".?").lower() for word in text.split()}
        return len(words & held) / max(1, len(words))

    async def rerank(self, question, texts):
        scores = []
        for text in texts:
            await asyncio.sleep(0)
            scores.append(self.score(question, text[:2000]))
        return scores

    async def aclose(self):
        return None


class Percents(Reranker):
    def score(self, question, text):
        return 100 * super().score(question, text)


class BestFirst(Reranker):
    async def rerank(self, question, texts):
        return sorted(await super().rerank(question, texts), reverse=True)


class Relative(Reranker):
    async def rerank(self, question, texts):
        scores = await super().rerank(question, texts)
        return [score / (max(scores) or 1) for score in scores]


class Distances(Reranker):
    def score(self, question, text):
        return 1 - super().score(question, text)


class AnyPasses:
    """A policy engine that takes anything for a yes."""

    name = "planted"

    async def check(self, source):
        return source

    async def load(self, tenant_id, policies):
        return None

    async def decide(self, tenant_id, policies, question):
        return [
            PolicyDecision(policy_id=p.id, revision=p.revision, allowed=True, reason="5", line=5)
            for p in policies
        ]


class Guesses(AnyPasses):
    async def decide(self, tenant_id, policies, question):
        question["seen"] = True
        return []


class MemoryService:
    """A search service in memory. Its filter language: ``key == "text"`` or a number, with backslashes as escapes."""

    def __init__(self):
        self.indexes, self.owners, self.calls, self.abandoned = {}, {}, 0, 0

    def serve(self, hits, tenant=None):
        name = f"i{len(self.indexes)}"
        self.indexes[name], self.owners[name] = list(hits), tenant
        return {"index": name, "credentials_ref": "own" if tenant else None}

    def search(self, name, who, expression):
        self.calls += 1
        if self.owners[name] not in (None, who):
            raise PermissionError(who)
        return [hit for hit in self.indexes[name] if self.matches(expression, hit.metadata)]

    def matches(self, expression, metadata):
        if not expression:
            return True
        found = re.fullmatch(r'(\w+) == (?:"((?:[^"\\]|\\.)*)"|(\d+))', expression)
        if not found:
            raise SyntaxError(expression)
        key, text, number = found.groups()
        return metadata.get(key) == (int(number) if number else re.sub(r"\\(.)", r"\1", text))


class Retriever:
    transactional = False

    def __init__(self, service):
        self.service = service

    async def prepare(self, tenant_id, query):
        await asyncio.sleep(0)
        if "index" not in query.options:
            raise ProviderError("RETRIEVAL_CONFIG_INVALID", "the corpus names no index")
        if len(query.filter) > 1 or any(isinstance(value, list | bool) for value in query.filter.values()):
            raise NotSupported("only one value of one key")
        expression = " and ".join(f"{key} == {self.written(value)}" for key, value in query.filter.items())
        try:
            hits = self.service.search(query.options["index"], self.who(tenant_id), expression)
        except PermissionError as error:
            raise ProviderError("RETRIEVAL_CONFIG_INVALID", "another tenant's credentials") from error
        except SyntaxError as error:
            raise ProviderError("RETRIEVAL_ERROR", "the service did not understand the filter") from error
        return Prepared([self.passage(hit) for hit in hits][: query.top_k])

    def written(self, value):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return str(value) if isinstance(value, int) else f'"{escaped}"'

    def who(self, tenant_id):
        return tenant_id

    def chunk_id(self, hit):
        return hashlib.sha256(hit.text.encode(errors="replace")).hexdigest()[:16]

    def passage(self, hit):
        return Passage(
            document_id=hit.document_id, chunk_id=self.chunk_id(hit), text=hit.text, score=hit.score,
            source=hit.document_id, end=len(hit.text), metadata=hit.metadata,
        )  # fmt: skip


@attrs.frozen
class Prepared:
    found: list

    async def passages(self, tx, scope):
        return self.found


class Unescaped(Retriever):
    def written(self, value):
        return str(value) if isinstance(value, int) else f'"{value}"'


class IgnoresTenants(Retriever):
    def who(self, tenant_id):
        return "t1"


class RandomIds(Retriever):
    def chunk_id(self, hit):
        return str(random.random())


short, long, nans, wrong_order = map(offer, (ShortVectors, LongVectors, NaNs, WrongOrder))
sorts, raw, honest = map(offer, (SortsItsInput, RawErrors, Embedder))
percents, best_first, relative, distances, honest_reranker = map(
    offer, (Percents, BestFirst, Relative, Distances, Reranker)
)
any_passes, guesses = offer(AnyPasses), offer(Guesses)
