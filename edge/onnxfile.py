"""A bounded walk over an ONNX file, before onnxruntime sees it: finds the metadata and refuses what is not harmless.

A field that is not in ONNX's schema is refused, and so is one that stands twice where the schema has it once (a reader
would merge the two, and see what neither says), or one of another wire type (which a reader skips). So onnxruntime
reads what was checked here.
"""

import math
from collections import Counter
from dataclasses import dataclass

from edge import protobuf
from edge.contract import METADATA_KEY, Contract
from edge.errors import BadModelError
from edge.onnxschema import SCHEMA
from edge.protobuf import Value

MAX_MODEL_BYTES = 256 * 1024 * 1024
MAX_DEPTH = 32
MAX_FIELDS = 500_000
MAX_NODES = 50_000
MAX_TENSORS = 50_000
MAX_ENTRIES = 50_000
MAX_NAME_BYTES = 4096
MAX_RANK = 32
MAX_DIMENSION = 2**31 - 1
MAX_SPARSE_ELEMENTS = 2**24
OWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

_WIRE_TYPES = {
    "int": protobuf.VARINT, "location": protobuf.VARINT, "float": protobuf.FIXED32, "double": protobuf.FIXED64,
}  # fmt: skip
_LIMITS = {"node": MAX_NODES, "tensor": MAX_TENSORS, "entry": MAX_ENTRIES}
_GRAPH, _PROPERTY = 7, 14

_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _SPARSE_DIMS = 1, 2, 8, 9, 3
_TYPED_DATA = frozenset({4, 5, 6, 7, 10, 11})
# Bits of one element: by data type, from float (1) to int2 (26); those whose typed data is of that size, too.
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 8, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_FIXED_TYPES = frozenset({1, 11, 14, 15})


@dataclass(frozen=True)
class Summary:
    """What a file that was found harmless holds: its `metadata_props`, and how many nodes."""

    metadata: dict[str, str]
    nodes: int

    @property
    def contract(self) -> Contract:
        """The contract in the metadata.

        Raises: BadModelError when there is none, or as `Contract.from_json` does.
        """
        if METADATA_KEY not in self.metadata:
            raise BadModelError(
                "the model carries no contract: export it with `python -m export`, or name one with --contract"
            )
        return Contract.from_json(self.metadata[METADATA_KEY])


def check(data: bytes) -> Summary:
    """Walk over the ONNX file `data`.

    Takes time in proportion to the fields in the file, of which MAX_FIELDS are accepted; weights are passed over.

    Raises: BadModelError when `data` is larger than MAX_MODEL_BYTES, no ONNX, truncated, nested deeper than MAX_DEPTH,
    or beyond another limit above; when a tensor claims more than the file holds; when it refers to external data or
    to operators outside OWN_DOMAINS, or defines operators itself.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise BadModelError(f"the model has {len(data):,} bytes; at most {MAX_MODEL_BYTES:,} are accepted")
    model = memoryview(data)
    walk = _Walk()
    walk.message(model, "model", 0)
    properties: dict[str, str] = {}
    has_graph = False
    for number, _, value in protobuf.fields(model):
        has_graph = has_graph or number == _GRAPH
        if number == _PROPERTY:
            key, text = _property(value)
            if key in properties:
                raise BadModelError(f"the model's metadata names {key[:100]!r} twice")
            properties[key] = text
    if not has_graph:
        raise BadModelError("the file is not an ONNX model: it holds no graph")
    return Summary(properties, walk.counts["node"])


class _Walk:
    """Goes through each field of each message once, and counts."""

    def __init__(self) -> None:
        self._fields = 0
        self.counts: Counter[str] = Counter()

    def message(self, message: memoryview, name: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise BadModelError(f"the model nests its graphs deeper than {MAX_DEPTH} levels")
        schema = SCHEMA[name]
        seen = set()
        for number, wire_type, value in protobuf.fields(message):
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise BadModelError(f"the model is made of more than {MAX_FIELDS:,} fields")
            if number not in schema:
                raise BadModelError(f"the file is not an ONNX model that this edge knows: field {number} of a {name}")
            kind, is_repeated = schema[number]
            if number in seen and not is_repeated:
                raise BadModelError(f"the file is not an ONNX model: field {number} of a {name} stands twice")
            seen.add(number)
            expected = _WIRE_TYPES.get(kind, protobuf.BYTES)
            is_packed = is_repeated and wire_type == protobuf.BYTES
            if wire_type != expected and not is_packed:
                raise BadModelError(f"the file is not an ONNX model: field {number} of a {name} is of another type")
            self._value(value, kind, depth)
        if name == "tensor":
            _check_tensor(message)
        elif name == "sparse":
            _check_sparse(message)

    def _value(self, value: Value, kind: str, depth: int) -> None:
        if kind in _LIMITS:
            self.counts[kind] += 1
            if self.counts[kind] > _LIMITS[kind]:
                raise BadModelError(f"the model holds more than {_LIMITS[kind]:,} {kind} messages")
        if isinstance(value, int):
            if kind == "location" and value:
                raise BadModelError("the model keeps weights in another file; export it as one file")
        elif kind in SCHEMA:
            self.message(value, kind, depth + 1)
        elif kind in _RULES:
            _RULES[kind](value)


def _check_name(value: memoryview) -> str:
    if len(value) > MAX_NAME_BYTES:
        raise BadModelError(f"a name in the model has {len(value):,} bytes; at most {MAX_NAME_BYTES:,} are accepted")
    return _text(value)


def _check_domain(value: memoryview) -> None:
    domain = _check_name(value)
    if domain not in OWN_DOMAINS:
        raise BadModelError(f"the model uses operators of {domain[:100]!r}; only ONNX's own are accepted")


def _refuse_external(_: memoryview) -> None:
    raise BadModelError("the model keeps weights in another file; export it as one file")


def _refuse_function(_: memoryview) -> None:
    # A few that call one another would unfold to billions of nodes.
    raise BadModelError("the model defines functions of its own; export it with its functions inlined")


_RULES = {
    "name": _check_name, "domain": _check_domain, "external": _refuse_external, "function": _refuse_function,
}  # fmt: skip


def _check_tensor(message: memoryview) -> None:
    dims: list[int] = []
    name, data_type, raw_bytes, typed_bytes = "", 0, 0, 0
    for number, _, value in protobuf.fields(message):
        if number == _DIMS:
            _extend(dims, value)
        elif number == _DATA_TYPE and isinstance(value, int):
            data_type = value
        elif number == _TENSOR_NAME:
            name = _text(value)
        elif number == _RAW_DATA:
            raw_bytes = len(_message(value))
        elif number in _TYPED_DATA:
            typed_bytes += _size(value)
    bits = _BITS.get(data_type)
    if bits is None:
        raise BadModelError(f"the tensor {name[:100]!r} is of the unknown data type {data_type}")
    # A varint has 8 bits at least, and may hold several elements of fewer than 8.
    typed_bits = bits if data_type in _FIXED_TYPES else min(8, bits)
    elements = raw_bytes * 8 // bits + typed_bytes * 8 // typed_bits
    if _product(dims) > elements:
        raise BadModelError(
            f"the tensor {name[:100]!r} claims the shape {dims}, but the file holds at most {elements:,} of its "
            "elements: the file is damaged"
        )


def _check_sparse(message: memoryview) -> None:
    dims: list[int] = []
    for number, _, value in protobuf.fields(message):
        if number == _SPARSE_DIMS:
            _extend(dims, value)
    # onnxruntime makes it dense when it loads the model.
    if _product(dims) > MAX_SPARSE_ELEMENTS:
        raise BadModelError(f"a sparse tensor has shape {dims}; at most {MAX_SPARSE_ELEMENTS:,} elements are accepted")


def _extend(dims: list[int], value: Value) -> None:
    for number in [value] if isinstance(value, int) else protobuf.varints(value):
        # A negative number is written as one above 2**63.
        if number > MAX_DIMENSION or len(dims) == MAX_RANK:
            raise BadModelError(
                f"a tensor has a dimension above {MAX_DIMENSION:,}, or negative, or more than {MAX_RANK} of them"
            )
        dims.append(number)


def _product(dims: list[int]) -> int:
    # A zero excuses the others only so far as no reader overflows on its way to it.
    product = math.prod(size for size in dims if size)
    return 0 if 0 in dims and product <= MAX_DIMENSION else product


def _size(value: Value) -> int:
    """Bytes of one occurrence of a repeated field; at least 1, which even an empty text takes."""
    return 1 if isinstance(value, int) else max(1, len(value))


def _property(value: Value) -> tuple[str, str]:
    entry = {number: _text(text) for number, _, text in protobuf.fields(_message(value))}
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
