"""Which knowledge bases a tenant may search without credentials of its own."""

from ragwork_toolkit.vendor.tenant_credentials import Profile, may_share

from ragwork_bedrock.config import BedrockConfig, KnowledgeBaseOptions


def refusal(
    config: BedrockConfig, profile: Profile, tenant_id: str, options: KnowledgeBaseOptions
) -> str | None:
    """Why the operator's credentials are not for this corpus; ``None`` when they are, or are not asked for."""
    base = options.knowledge_base_id
    if base is None or options.credentials_ref is not None:
        return None
    if may_share(config.shared_knowledge_bases, profile, tenant_id, base):
        return None
    return (
        f"knowledge base {base!r} is not shared with tenant {tenant_id!r}: set 'credentials_ref' of the corpus,"
        f" or BEDROCK_SHARED_KNOWLEDGE_BASES to hold {tenant_id}:{base}"
    )
