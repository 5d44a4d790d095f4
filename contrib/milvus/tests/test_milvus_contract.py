"""``milvus`` keeps the contract of a retriever under read scopes, over Milvus Lite and the real event path."""

from ragwork_testkit.retrieval import ScopeContract


class TestMilvus(ScopeContract):
    """Fed by the outbox; a question is asked once the mirror has caught up."""
