"""Areas of documents."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="retrieval",
        about="Find passages without an answer: for those who bring their own model.",
        rank=2,
    ),
    Area(
        name="documents",
        about="Upload, follow, share and delete what answers stand on.",
        rank=3,
        path={
            "document_id": "The document, as its uploader or the server named it.",
            "permission_id": "The grant, as the list of grants shows it.",
        },
    ),
    Area(
        name="corpora",
        about="Collections of documents, each with its own retrieval.",
        rank=4,
        path={"corpus_id": "The corpus, as its maker named it."},
    ),
)
