"""Blobs in Postgres keep the contract."""

import pytest
from ragwork_hooks.storage import Blob
from ragwork_kernel.data.blobs import PostgresBlobs
from ragwork_testkit.blobs import BlobContract


class TestPostgresBlobs(BlobContract):
    @pytest.fixture
    def blobs(self) -> Blob:
        return PostgresBlobs()
