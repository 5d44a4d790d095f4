"""Plugin ``blobdir``: blobs as files in a directory that all processes share."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class BlobDirPlugin:
    """Names the plugin; the store itself is the provider ``directory`` of kind ``blob``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(name="blobdir", summary="uploads and audio as files in the folder of BLOB_DIR")


plugin = BlobDirPlugin()
