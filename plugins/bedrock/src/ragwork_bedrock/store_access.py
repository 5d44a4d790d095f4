"""Which knowledge bases a tenant may search without credentials of its own."""

from ragwork_toolkit.vendor.tenant_credentials import Profile, store_access_refusal

from ragwork_bedrock.config import BedrockConfig, KnowledgeBaseOptions


def refusal(
    config: BedrockConfig, profile: Profile, tenant_id: str, options: KnowledgeBaseOptions
) -> str | None:
    """Why the operator's credentials are not for this corpus; ``None`` when they are, or are not asked for."""
    base = options.knowledge_base_id
    if base is None or options.credentials_ref is not None:
        return None
    shared, setting = config.shared_knowledge_bases, "BEDROCK_SHARED_KNOWLEDGE_BASES"
    return store_access_refusal(setting, shared, profile, tenant_id, base, kind="knowledge base")
