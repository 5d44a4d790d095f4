"""Settings of the plugin ``vertex``, and what a corpus may set for the retriever."""

from collections.abc import Mapping

import attrs
from ragwork_hooks.fields import choice, identifier, number, text
from ragwork_hooks.settings import header_value, http_url, setting


@attrs.frozen(kw_only=True)
class VertexConfig:
    """What the operator decides. Endpoints stand here only: a tenant that could set one would choose
    where this server sends its credentials.
    """

    project: str | None = setting("GOOGLE_CLOUD_PROJECT", None, "Google Cloud project")
    location: str | None = setting("GOOGLE_CLOUD_LOCATION", None, "Region, such as us-central1 or global")
    vertex_location: str | None = setting(
        "VERTEX_LOCATION", None, "Region when GOOGLE_CLOUD_LOCATION is not set"
    )
    credentials_file: str | None = setting(
        "GOOGLE_APPLICATION_CREDENTIALS",
        None,
        "Path of a credentials file; unset means Google's own search for default credentials",
    )
    api_key: str | None = setting(
        "GEMINI_API_KEY",
        None,
        "Key of the Gemini API; chat and embeddings then go there",
        secret=True,
        form=header_value,
    )
    model: str = setting("GEMINI_MODEL", "gemini-2.0-flash-001", "Chat model")
    stream_timeout_s: int = setting(
        "VERTEX_STREAM_TIMEOUT_S", 90, "Longest answer of the chat model, in seconds", ge=1, le=3600
    )
    embedding_model: str = setting("VERTEX_EMBEDDING_MODEL", "text-embedding-004", "Embedding model (768-d)")
    embedding_timeout_s: float = setting(
        "VERTEX_EMBEDDING_TIMEOUT_S", 30.0, "Longest call for embeddings, in seconds", ge=0.1, le=600
    )
    shared_datastores: tuple[str, ...] = setting(
        "VERTEX_SHARED_DATASTORES",
        (),
        "Data stores that a tenant may search with the operator's credentials: tenant:store or *:store,"
        " comma-separated, a store of another project or location as project/location/store;"
        " unset means none in production, else all",
    )
    search_timeout_s: float = setting(
        "VERTEX_SEARCH_TIMEOUT_S", 10.0, "Longest retrieval, in seconds", ge=0.1, le=300
    )
    search_max_concurrency: int = setting(
        "VERTEX_SEARCH_MAX_CONCURRENCY", 32, "Retrievals, and threads, at a time", ge=1, le=1000
    )
    gemini_endpoint_url: str | None = setting(
        "GEMINI_ENDPOINT_URL",
        None,
        "Address of the Gemini or Vertex AI service, if not Google's own",
        form=http_url,
    )
    search_endpoint_url: str | None = setting(
        "VERTEX_SEARCH_ENDPOINT_URL",
        None,
        "Address of the service Discovery Engine, if not Google's own",
        form=http_url,
    )

    @property
    def region(self) -> str | None:
        """The region under either of its names."""
        return self.location or self.vertex_location


def ready(config: VertexConfig) -> str | None:
    """What chat and embeddings need, for ``Provider.ready``: a key of the Gemini API, or a project and a region."""
    if config.api_key or (config.project and config.region):
        return None
    name = "GOOGLE_CLOUD_LOCATION" if config.project else "GOOGLE_CLOUD_PROJECT"
    return f"needs {name} or GEMINI_API_KEY, which are unset"


@attrs.frozen(kw_only=True)
class DatastoreOptions:
    """The ``retrieval`` section of a corpus.

    ``resource_id`` is the id of a data store in the project's default collection. ``content`` is what a
    passage is made of: ``segments`` (extractive segments), ``chunks`` (of a data store with chunking) or
    ``snippets``. ``number_of_results`` is how many results to ask for at once (at least ``top_k`` are).
    ``filter_keys`` maps the keys of a query's filter to fields of the data store; others stay as they
    are. ``credentials_ref`` names a secret of the tenant.
    """

    project: str | None = text(default=None, max_length=128, pattern=r"[a-z0-9][a-z0-9:.\-]*")
    # It becomes part of the service's host name.
    location: str | None = text(default=None, max_length=32, pattern=r"[a-z][a-z0-9\-]*")
    resource_id: str | None = text(default=None, max_length=128, pattern=r"[A-Za-z0-9_\-]+")
    content: str = choice("segments", "chunks", "snippets", default="segments")
    number_of_results: int | None = number(default=None, ge=1, le=100)
    filter_keys: Mapping[str, str] = attrs.field(factory=dict)
    credentials_ref: str | None = identifier(default=None)
