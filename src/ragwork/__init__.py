"""The default assembly: which plugins `ragwork` enables when the operator names none."""

DEFAULT_PLUGINS = (
    "embedded",
    "directory",
    "apikeys",
    "rbac",
    "minilm",
    "wordllama",
    "pgvector",
    "documents",
    "extractive",
    "fake",
    "openai",
    "agent",
    "resilience",
    "devkit",
)
