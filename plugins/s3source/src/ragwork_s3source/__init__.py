"""Plugin ``s3source``: buckets as sources of documents."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_s3source.config import S3SourceConfig


class S3SourcePlugin:
    """Registers the connector ``s3``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="s3source",
            summary="The connector s3: buckets of Amazon S3, and of stores that speak its protocol",
            config=S3SourceConfig,
            reads=("AWS_<NAME>",),
        )


plugin = S3SourcePlugin()
