"""Filters and results of Vertex AI Search, and marks in an answer, by themselves."""

import pytest
from ragwork_vertex.filters import NothingMatches, expression
from ragwork_vertex.results import pieces, ranked


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, ""),
        ({"a": "x"}, '(a: ANY("x"))'),
        ({"a": 'x") OR b: ANY("y'}, '(a: ANY("x\\") OR b: ANY(\\"y"))'),
        ({"a": "back\\"}, '(a: ANY("back\\\\"))'),
        ({"a": ["x", 1, True]}, '(a: ANY("x", "true") OR a = 1)'),
        ({"a.b-c": 1.5}, "(a.b-c = 1.5)"),
    ],
)
def test_a_filter_is_quoted(filter, expected):
    assert expression(filter, {}) == expected


@pytest.mark.parametrize(
    "filter",
    [
        {"a": []},
        {"a": None},
        {"a": [None]},
        {"a": float("inf")},
        {'x: ANY("1") OR y': "a"},
        {"": 1},
        {"a b": 1},
    ],
)
def test_what_no_field_can_have_matches_nothing(filter):
    with pytest.raises(NothingMatches):
        expression(filter, {})


def result(**more):
    segments = [{"content": "text"}]
    document = {
        "name": "projects/p/branches/0/documents/from-name",
        "structData": {},
        "derivedStructData": {"extractive_segments": segments, "link": "gs://b/a.txt", "title": "A"},
    }
    return {"id": "r", "document": {**document, **more}}


@pytest.mark.parametrize(
    ("found", "document_id"),
    [
        (result(structData={"document_id": "own"}), "own"),
        (result(structData={"document_id": 7.0}), "7"),
        (result(), "from-name"),
        (result(name=""), "r"),
        (result(derivedStructData={"document_id": "x", "extractive_answers": [{"content": "a"}]}), "x"),
        (result(structData={"document_id": "../etc"}), None),
        (result(derivedStructData={}), None),
        (result(derivedStructData={"snippets": [{"snippet_status": "NO_SNIPPET_AVAILABLE"}]}), None),
    ],
)
def test_a_result_names_its_document(found, document_id):
    passages = ranked(pieces(found, 0), 5, distinct=False)
    assert [p.document_id for p in passages] == ([] if document_id is None else [document_id])


def test_a_passage_carries_title_link_and_the_documents_own_data():
    (found,) = ranked(
        pieces(result(structData={"year": 2020.0, "nested": {"n": [1.0]}}), 0), 1, distinct=False
    )
    assert found.source == "gs://b/a.txt"
    assert found.metadata == {"title": "A", "year": 2020, "nested": {"n": [1]}}


def test_the_services_relevance_of_a_document_counts_for_its_pieces():
    low = {**result(structData={"document_id": "low"}), "modelScores": {"relevance_score": {"values": [0.2]}}}
    high = {
        **result(structData={"document_id": "high"}),
        "modelScores": {"relevance_score": {"values": [0.7]}},
    }
    found = ranked([*pieces(low, 0), *pieces(high, 1)], 5, distinct=False)
    assert [(p.document_id, p.score) for p in found] == [("high", 0.7), ("low", 0.2)]


def test_one_piece_without_a_score_makes_the_services_order_count():
    scored = {
        **result(structData={"document_id": "b"}),
        "modelScores": {"relevance_score": {"values": [0.7]}},
    }
    found = ranked([*pieces(result(), 0), *pieces(scored, 1)], 5, distinct=False)
    assert [(p.document_id, p.score) for p in found] == [("from-name", 1.0), ("b", 0.5)]
