"""``local_pgvector`` keeps the contract of a retriever with an index."""

from ragwork_testkit.retrieval import IndexContract


class TestLocalPgvector(IndexContract):
    """Over a real Postgres, as the application's role."""
