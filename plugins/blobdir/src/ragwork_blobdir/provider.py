"""The provider ``directory`` of kind ``blob``, which phase 0 of the boot opens with ``BLOB_DIR``."""

from ragwork_hooks.infrastructure import BlobProvider

from ragwork_blobdir.blobs import DirectoryBlobs

provider = BlobProvider(name="directory", open=DirectoryBlobs)
