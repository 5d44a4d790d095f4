"""Settings of the plugin ``rerank``."""

import attrs
from ragwork_hooks.settings import header_value, http_url, setting


@attrs.frozen(kw_only=True)
class RerankConfig:
    """Where the service is, who we are to it, and how it is spoken to."""

    url: str | None = setting(
        "RERANK_URL",
        None,
        "Root of the service: https://api.cohere.com, https://api.jina.ai, or where your own listens",
        form=http_url,
    )
    api_key: str | None = setting(
        "RERANK_API_KEY", None, "Credential, sent as a bearer token", secret=True, form=header_value
    )
    model: str | None = setting("RERANK_MODEL", None, "Model; the formats cohere and jina need one")
    wire_format: str = setting(
        "RERANK_FORMAT",
        "tei",
        "cohere: POST /v2/rerank; jina: POST /v1/rerank; tei (Text Embeddings Inference): POST /rerank",
        choices=("cohere", "jina", "tei"),
    )
    timeout_s: float = setting(
        "RERANK_TIMEOUT_S", 5.0, "Longest one call may take, in seconds", ge=0.05, le=60
    )


def ready(config: RerankConfig) -> str | None:
    """What the provider needs, for ``Provider.ready``."""
    if config.url is None:
        return "needs RERANK_URL, which is unset"
    if config.wire_format != "tei" and not config.model:
        return (
            f"needs RERANK_MODEL, which is unset: the format {config.wire_format} names one in every request"
        )
    return None
