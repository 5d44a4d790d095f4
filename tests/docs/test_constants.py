"""Numbers that pages quote are those of the code."""

import pytest
from page import DOCS
from ragwork_documents.ingestion import chunker
from ragwork_hooks.http import RUN_COST
from ragwork_kernel.data.notifications import REVOCATION_WINDOW_S
from ragwork_pgvector import config as index_config
from ragwork_pgvector import ranking
from ragwork_quota import charging, leases

WORDS = {1: "a", 3: "three", 16: "Sixteen"}
QUOTED = [
    ("quota-leases.md", f"a block of {leases.BLOCK} units"),
    ("quota-leases.md", f"{WORDS[leases.BLOCK]} reads cost one transaction"),
    ("quota-leases.md", f"a run takes {WORDS[RUN_COST]} units"),
    ("quota-leases.md", f"Within {charging.MARGIN} units of a cap"),
    ("quota-leases.md", f"has not used after {WORDS[round(leases.LEASE_S + leases.TICK_S)]} second"),
    ("retrieval.md", f"Up to {ranking.EXACT_VECTORS:,} permitted vectors"),
    ("retrieval.md", f"({index_config.DEFAULT_LEXICAL_WEIGHT} unless set)"),
    (
        "retrieval.md",
        f"at most {chunker.DEFAULT_SIZE} characters that share at most {chunker.DEFAULT_OVERLAP}.",
    ),
    ("architecture.md", f"caches within {WORDS[round(REVOCATION_WINDOW_S)]} second"),
]


@pytest.mark.parametrize(("page", "quote"), QUOTED)
def test_a_page_quotes_what_the_code_has(page: str, quote: str) -> None:
    text = (DOCS / "explanation" / page).read_text(encoding="utf-8")
    assert quote in " ".join(text.split())
