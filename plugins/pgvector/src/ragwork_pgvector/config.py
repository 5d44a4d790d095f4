"""What a corpus may set under ``retrieval`` for this provider."""

import attrs
from ragwork_hooks.fields import number

#: Share of the lexical leg; see the README for the measurement behind it.
DEFAULT_LEXICAL_WEIGHT = 0.3


@attrs.frozen(kw_only=True)
class CorpusOptions:
    """``lexical_weight`` is the lexical leg's share of the score, 0.0 (vectors only) to 1.0 (BM25 only)."""

    lexical_weight: float = number(default=DEFAULT_LEXICAL_WEIGHT, ge=0.0, le=1.0)
