"""Finds the vectors and the tokenizer in the ``wordllama`` wheel and proves that they are the expected ones.

The package itself is never imported: it takes twice the memory (102 against 45 MB), configures the root
logger, and its loader looks for the tokenizer on the network. Vectors in an index are only comparable with
vectors made from the same files, so other contents under the same names are refused.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Final

import attrs
from ragwork_hooks.errors import ConfigError

PACKAGE: Final = "wordllama"


@attrs.frozen(kw_only=True)
class DataFile:
    """A file of the package, with the SHA-256 that it must have."""

    path: str
    sha256: str


VECTORS: Final = DataFile(
    path="weights/l2_supercat_256.safetensors",
    sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
TOKENIZER: Final = DataFile(
    path="tokenizers/l2_supercat_tokenizer_config.json",
    sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)


def read(file: DataFile) -> bytes:
    """The contents of ``file``. Raises ``ConfigError`` naming the package to install again."""
    content = _locate(file).read_bytes()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ConfigError(
            "[wordllama]",
            f"{file.path} of {PACKAGE} is not the file this plugin was built for",
            f"install the version of {PACKAGE} that ragwork-wordllama asks for",
        )
    return content


def _locate(file: DataFile) -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, file.path)
        if path.is_file():
            return path
    raise ConfigError("[wordllama]", f"{file.path} of {PACKAGE} is not installed", f"install {PACKAGE}")
