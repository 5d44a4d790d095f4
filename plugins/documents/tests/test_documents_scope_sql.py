"""A read scope means in SQL what the algebra says."""

import itertools
import random

import pytest
from ragwork_documents.scope_sql import condition
from ragwork_hooks.authz import (
    AllOf,
    AnyOf,
    Everything,
    IdIn,
    LabelCompares,
    LabelIn,
    Labelled,
    Not,
    Nothing,
    OwnedBy,
    ReadableBy,
    every,
    outside,
    some,
)
from ragwork_testkit.gates import Readable, admits

RELATIONS = ("lt", "lte", "gt", "gte", "starts_with", "contains")
LABELS = ({}, {"level": "a"}, {"level": "B"}, {"level": ""}, {"level": "é"}, {"level": "a%_'\\", "team": "x"})
DOCUMENTS = [
    Readable(id=f"d{n}", owner=owner, readers=frozenset(readers), labels=tuple(labels.items()))
    for n, (owner, readers, labels) in enumerate(
        itertools.product(("ann", "bob"), ((), ("user:ann",), ("group:g", "tenant:t")), LABELS)
    )
]


def some_scope(rng, depth):
    if depth and rng.random() < 0.5:
        parts = [some_scope(rng, depth - 1) for _ in range(rng.randrange(3))]
        return rng.choice(
            (
                AllOf(tuple(parts)),
                AnyOf(tuple(parts)),
                Not(some_scope(rng, depth - 1)),
                every(*parts),
                some(*parts),
            )
        )
    key, value = (
        rng.choice(("level", "team", "no'ne")),
        rng.choice(("a", "B", "", "é", "a%", "%", "_'", "Z", "x")),
    )
    return rng.choice(
        (
            Everything(),
            Nothing(),
            ReadableBy(frozenset(rng.sample(("user:ann", "group:g", "role:x"), 2))),
            OwnedBy(rng.choice(("ann", "cyn"))),
            IdIn(frozenset({"d1", "d7", "d99"})),
            Labelled(key),
            LabelIn(key, frozenset({value, "a"})),
            LabelCompares(key, rng.choice(RELATIONS), value),
        )
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_the_database_reads_a_scope_as_the_algebra_means_it(it):
    ann = await it.key("ann")
    await it.corpus(ann)
    db = it.app.platform.facades["documents"].db
    async with db.tenant(it.tenant) as tx:
        await tx.execute(
            """INSERT INTO documents.documents (tenant_id, id, corpus_id, filename, content_type, ingest_source,
                owner, fingerprint, blob_key, metadata, labels, chunk_size, chunk_overlap)
            SELECT ragwork.tenant(), d.id, 'c', '', '', 'text', d.owner, '', '', '{}', d.labels, 1, 0
            FROM jsonb_to_recordset($1::jsonb) AS d(id text, owner text, labels jsonb)""",
            [{"id": d.id, "owner": d.owner, "labels": dict(d.labels)} for d in DOCUMENTS],
        )
        await tx.execute(
            """INSERT INTO documents.grants (tenant_id, id, document_id, principal_type, principal_id, permission)
            SELECT ragwork.tenant(), d.id || r, d.id, split_part(r, ':', 1), split_part(r, ':', 2), 'read'
            FROM jsonb_to_recordset($1::jsonb) AS d(id text, readers jsonb),
                jsonb_array_elements_text(d.readers) AS r""",
            [{"id": d.id, "readers": sorted(d.readers)} for d in DOCUMENTS],
        )
    rng = random.Random(11)
    async with db.tenant(it.tenant, "read") as tx:
        for _ in range(300):
            scope, args = some_scope(rng, 3), []
            rows = await tx.fetch(
                f"SELECT d.id FROM documents.documents d WHERE {condition(scope, args)}", *args
            )
            assert {row["id"] for row in rows} == {d.id for d in DOCUMENTS if admits(scope, d)}, scope


def test_constructors_keep_the_meaning_and_drop_what_is_needless():
    rng = random.Random(5)
    for _ in range(500):
        a, b = some_scope(rng, 2), some_scope(rng, 2)
        for document in DOCUMENTS:
            in_a, in_b = admits(a, document), admits(b, document)
            assert admits(every(a, b), document) == (in_a and in_b)
            assert admits(some(a, b), document) == (in_a or in_b)
            assert admits(outside(a), document) == (not in_a)
    owned = OwnedBy("ann")
    assert every(Everything(), owned, owned) == some(Nothing(), owned, owned) == owned
    assert every(owned, Nothing()) == Nothing()
    assert every() == Everything()
