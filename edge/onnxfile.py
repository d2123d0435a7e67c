"""A bounded walk over an ONNX file, before onnxruntime sees it: finds the metadata and refuses what reaches outside.

Field numbers are those of onnx.proto3 in the ONNX specification; the wire format is Protocol Buffers'.
"""

from collections.abc import Iterator

from edge.errors import BadModelError

MAX_MODEL_BYTES = 256 * 1024 * 1024
MAX_DEPTH = 32
OWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

# message → {field number: message that it holds}
_NESTED = {
    "model": {7: "graph", 14: "property", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_GRAPH, _PROPERTY = 7, 14
_DOMAIN = 7
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}

Value = int | memoryview


def metadata(data: bytes) -> dict[str, str]:
    """The `metadata_props` of the ONNX file `data`, once everything in it has been found harmless.

    Raises: BadModelError when `data` is larger than MAX_MODEL_BYTES, no ONNX, truncated, nested deeper than
    MAX_DEPTH, or when it refers to external data or to operators outside OWN_DOMAINS.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise BadModelError(f"the model has {len(data):,} bytes; at most {MAX_MODEL_BYTES:,} are accepted")
    properties: dict[str, str] = {}
    has_graph = False
    model = memoryview(data)
    for number, value in _fields(model):
        if number == _GRAPH:
            has_graph = True
        elif number == _PROPERTY:
            key, text = _property(_message(value))
            if key in properties:
                raise BadModelError(f"the model's metadata names {key!r} twice")
            properties[key] = text
    if not has_graph:
        raise BadModelError("the file is not an ONNX model: it holds no graph")
    _check(model, "model", 0)
    return properties


def _check(message: memoryview, kind: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadModelError(f"the model nests its graphs deeper than {MAX_DEPTH} levels")
    nested = _NESTED.get(kind, {})
    for number, value in _fields(message):
        if number in nested:
            _check(_message(value), nested[number], depth + 1)
        elif kind == "node" and number == _DOMAIN:
            domain = _text(value)
            if domain not in OWN_DOMAINS:
                raise BadModelError(f"the model uses operators of {domain!r}; only ONNX's own are accepted")
        elif kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            raise BadModelError("the model keeps weights in another file; export it as one file")


def _property(message: memoryview) -> tuple[str, str]:
    entry = {number: _text(value) for number, value in _fields(message)}
    return entry.get(1, ""), entry.get(2, "")


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise BadModelError("the file is not an ONNX model: a number stands where a message belongs")
    return value


def _text(value: Value) -> str:
    try:
        return str(_message(value), "utf-8")
    except UnicodeDecodeError:
        raise BadModelError("the file is not an ONNX model: a name in it is not UTF-8") from None


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise BadModelError("the file is not an ONNX model")
        if size > len(message) - position:
            raise BadModelError("the file is not an ONNX model, or it is truncated")
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise BadModelError("the file is not an ONNX model, or it is truncated")
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise BadModelError("the file is not an ONNX model")
