"""Just enough of the ONNX file format: read the weights of a model, write a small graph.

An ONNX file is a protobuf message; the field numbers below are those of ``onnx.proto3``. The ``onnx``
package would do the same for 31 MB on disk and 15 MB of resident memory.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.generic]
Attribute: TypeAlias = int | float

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5

FLOAT: Final = 1
INT64: Final = 7
_TYPES: Final[Mapping[int, str]] = {FLOAT: "<f4", 2: "u1", 3: "i1", 6: "<i4", INT64: "<i8"}
_ATTRIBUTE_FLOAT: Final = 1
_ATTRIBUTE_INT: Final = 2
_EXTERNAL: Final = 1
_IR_VERSION: Final = 9
_INLINE_BYTES: Final = 64


@attrs.frozen(kw_only=True)
class Node:
    """One operator of a stored graph; ``inputs`` and ``outputs`` are value names."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read(model: memoryview) -> tuple[tuple[Node, ...], Mapping[str, Array]]:
    """Nodes in file order and initializers by name of a serialised model.

    Arrays are views of ``model``. Only raw tensors of the types in ``_TYPES`` are given; others are
    left out. Raises ``ValueError`` when ``model`` is not a protobuf message.
    """
    nodes: list[Node] = []
    tensors: dict[str, Array] = {}
    for number, graph in _fields(model):
        if number != 7 or isinstance(graph, int):
            continue
        for part, body in _fields(graph):
            if isinstance(body, int):
                continue
            if part == 1:
                nodes.append(_node(body))
            elif part == 5:
                tensors.update(_tensor(body))
    return tuple(nodes), tensors


class GraphWriter:
    """Collects operators and constants of a graph and serialises it without the large constants' data.

    Those are written as references that the runtime resolves by name, so the file stays small and the
    arrays in ``constants`` are handed over as they are.
    """

    def __init__(self) -> None:
        self._nodes = bytearray()
        self._constants = bytearray()
        self.constants: dict[str, Array] = {}

    def constant(self, name: str, value: Array) -> str:
        """Add a constant and give back its name."""
        array = np.ascontiguousarray(value)
        # Shapes and axes are needed while the graph is checked, so they can't be references.
        if array.nbytes <= _INLINE_BYTES:
            self._constants += _message(5, _described(name, array) + _message(9, array.tobytes()))
        else:
            self.constants[name] = array
            self._constants += _message(5, _described(name, array) + _AT_RUNTIME)
        return name

    def node(
        self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Attribute
    ) -> str:
        """Add an operator; an empty input name leaves that input out. Gives the first output's name."""
        body = bytearray()
        for name in inputs:
            body += _message(1, name.encode())
        for name in outputs:
            body += _message(2, name.encode())
        body += _message(4, op.encode())
        for key, value in attributes.items():
            body += _message(5, _attribute(key, value))
        self._nodes += _message(1, bytes(body + _message(7, domain.encode())))
        return outputs[0]

    def model(
        self, inputs: Mapping[str, int], outputs: Mapping[str, int], opsets: Mapping[str, int]
    ) -> bytes:
        """The serialised model. ``inputs`` and ``outputs`` map names to element types, ``opsets``
        domains to versions.
        """
        graph = bytes(self._nodes) + _message(2, b"graph") + bytes(self._constants)
        graph += b"".join(_message(11, _value(name, kind)) for name, kind in inputs.items())
        graph += b"".join(_message(12, _value(name, kind)) for name, kind in outputs.items())
        sets = b"".join(
            _message(8, _message(1, domain.encode()) + _number(2, version))
            for domain, version in opsets.items()
        )
        return _number(1, _IR_VERSION) + _message(7, graph) + sets


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    at, end = 0, len(message)
    while at < end:
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"unknown protobuf wire type {kind}")
        if at + size > end:
            raise ValueError("protobuf message is cut off")
        yield key >> 3, message[at : at + size]
        at += size


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("protobuf message is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("protobuf integer is too long")


def _node(body: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: [""]}
    for number, value in _fields(body):
        if number in texts and not isinstance(value, int):
            texts[number].append(str(value, "utf-8"))
    return Node(op=texts[4][-1], inputs=tuple(texts[1]), outputs=tuple(texts[2]))


def _tensor(body: memoryview) -> dict[str, Array]:
    shape: list[int] = []
    name, kind, raw = "", 0, None
    for number, value in _fields(body):
        if number == 1 and not isinstance(value, int):
            shape += _packed(value)
        elif number == 1 and isinstance(value, int):
            shape.append(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and not isinstance(value, int):
            name = str(value, "utf-8")
        elif number == 9 and not isinstance(value, int):
            raw = value
    if raw is None or kind not in _TYPES:
        return {}
    return {name: np.frombuffer(raw, _TYPES[kind]).reshape(shape)}


def _packed(body: memoryview) -> list[int]:
    values: list[int] = []
    at = 0
    while at < len(body):
        value, at = _read_varint(body, at)
        values.append(value)
    return values


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(body)) + body


def _attribute(name: str, value: Attribute) -> bytes:
    key = _message(1, name.encode())
    if isinstance(value, float):
        single = np.float32(value).tobytes()
        return key + _varint(2 << 3 | _FIXED32) + single + _number(20, _ATTRIBUTE_FLOAT)
    # Negative integers are their 64-bit two's complement on the wire.
    return key + _number(3, value & 0xFFFF_FFFF_FFFF_FFFF) + _number(20, _ATTRIBUTE_INT)


def _described(name: str, value: Array) -> bytes:
    kinds = {np.dtype(text): kind for kind, text in _TYPES.items()}
    shape = b"".join(_number(1, size) for size in value.shape)
    return shape + _number(2, kinds[value.dtype]) + _message(8, name.encode())


def _value(name: str, kind: int) -> bytes:
    """A matrix-shaped input or output with free dimensions."""
    shape = _message(1, _message(2, b"rows")) + _message(1, _message(2, b"columns"))
    tensor = _number(1, kind) + _message(2, shape)
    return _message(1, name.encode()) + _message(2, _message(1, tensor))


#: Marks a constant as external data; the runtime is given it by name.
_AT_RUNTIME: Final = _message(13, _message(1, b"location") + _message(2, b"memory")) + _number(14, _EXTERNAL)
