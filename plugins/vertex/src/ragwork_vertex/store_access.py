"""Which data stores a tenant may search without credentials of its own."""

from ragwork_toolkit.vendor.tenant_credentials import Profile, store_access_refusal

from ragwork_vertex.config import DatastoreOptions, VertexConfig


def refusal(config: VertexConfig, profile: Profile, tenant_id: str, options: DatastoreOptions) -> str | None:
    """Why the operator's credentials are not for this corpus; ``None`` when they are, or are not asked for."""
    if options.resource_id is None or options.credentials_ref is not None:
        return None
    store = _name(config, options, options.resource_id)
    shared, setting = config.shared_datastores, "VERTEX_SHARED_DATASTORES"
    return store_access_refusal(setting, shared, profile, tenant_id, store, kind="data store")


def _name(config: VertexConfig, options: DatastoreOptions, resource_id: str) -> str:
    """The id alone in the operator's project and location: an entry for it must not open its namesake elsewhere."""
    project, location = options.project or config.project, options.location or config.region
    if (project, location) == (config.project, config.region):
        return resource_id
    return f"{project}/{location}/{resource_id}"
