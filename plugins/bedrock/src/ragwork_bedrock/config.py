"""Settings of the plugin ``bedrock``, and what a corpus may set for the retriever."""

from collections.abc import Mapping

import attrs
from ragwork_hooks.fields import identifier, number, text
from ragwork_hooks.settings import http_url, setting


@attrs.frozen(kw_only=True)
class BedrockConfig:
    """What the operator decides. Endpoints stand here only: a tenant that could set one would choose
    where this server sends its signed requests.
    """

    model_id: str | None = setting(
        "BEDROCK_MODEL_ID", None, "Chat model: a model id or the ARN of an inference profile"
    )
    region: str | None = setting(
        "BEDROCK_REGION", None, "Region when the corpus names none; unset means AWS_REGION"
    )
    shared_knowledge_bases: tuple[str, ...] = setting(
        "BEDROCK_SHARED_KNOWLEDGE_BASES",
        (),
        "Knowledge bases that a tenant may search with the operator's credentials: tenant:id or *:id, comma-separated;"
        " unset means none in production, else all",
    )
    document_id_key: str = setting(
        "BEDROCK_DOCUMENT_ID_KEY", "document_id", "Metadata key of a result that holds the document's id here"
    )
    max_concurrency: int = setting(
        "BEDROCK_MAX_CONCURRENCY", 32, "Calls, and threads, of each provider at a time", ge=1, le=1000
    )
    retrieve_timeout_s: float = setting(
        "BEDROCK_RETRIEVE_TIMEOUT_S", 10.0, "Longest retrieval, in seconds", ge=0.1, le=300
    )
    chat_timeout_s: float = setting(
        "BEDROCK_CHAT_TIMEOUT_S", 60.0, "Longest silence of a chat model, in seconds", ge=0.1, le=600
    )
    agent_endpoint_url: str | None = setting(
        "BEDROCK_AGENT_ENDPOINT_URL",
        None,
        "Address of the service bedrock-agent-runtime, if not AWS' own",
        form=http_url,
    )
    runtime_endpoint_url: str | None = setting(
        "BEDROCK_RUNTIME_ENDPOINT_URL",
        None,
        "Address of the service bedrock-runtime, if not AWS' own",
        form=http_url,
    )


def chat_ready(config: BedrockConfig) -> str | None:
    """What the chat model needs, for ``Provider.ready``."""
    return None if config.model_id else "needs BEDROCK_MODEL_ID, which is unset"


@attrs.frozen(kw_only=True)
class KnowledgeBaseOptions:
    """The ``retrieval`` section of a corpus.

    ``number_of_results`` is how many candidates to ask for at once (at least ``top_k`` are).
    ``filter_keys`` maps the keys of a query's filter to metadata keys of the knowledge base; others
    stay as they are. ``credentials_ref`` names a secret of the tenant.
    """

    knowledge_base_id: str | None = text(default=None, max_length=2048, pattern=r"[0-9A-Za-z:/_\-]+")
    region: str | None = text(default=None, max_length=32, pattern=r"[a-z0-9\-]+")
    number_of_results: int | None = number(default=None, ge=1, le=100)
    filter_keys: Mapping[str, str] = attrs.field(factory=dict)
    credentials_ref: str | None = identifier(default=None)
