"""Parts of an ONNX file, written by hand: no exporter is needed where the edge runs.

The numbers of fields, here and where these are used, are those of onnx.proto3.
"""

from collections.abc import Sequence

FLOAT, UINT8, INT64 = 1, 2, 7
_BYTES = 2  # the wire type of Protocol Buffers


def node(operator: str, sources: Sequence[str], target: str, attribute: bytes = b"") -> bytes:
    """A NodeProto with one output."""
    return b"".join(text(1, source) for source in sources) + text(2, target) + text(4, operator) + attribute


def integer(name: str, value: int) -> bytes:
    """An attribute of a node that is one integer."""
    return message(5, text(1, name) + number(3, value) + number(20, 2))


def value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """A ValueInfoProto: an input or output of a graph, a text being a dimension that is not fixed."""
    dimensions = [text(2, size) if isinstance(size, str) else number(1, size) for size in shape]
    tensor = number(1, kind) + message(2, b"".join(message(1, one) for one in dimensions))
    return text(1, name) + message(2, message(1, tensor))


def text(field: int, content: str) -> bytes:
    """A field that holds text."""
    return message(field, content.encode())


def message(field: int, content: bytes) -> bytes:
    """A field that holds bytes, or a message."""
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def number(field: int, content: int) -> bytes:
    """A field that holds an integer from 0 on."""
    return _varint(field << 3) + _varint(content)


def _varint(content: int) -> bytes:
    digits = []
    while content > 0x7F:
        digits.append(content & 0x7F | 0x80)
        content >>= 7
    return bytes([*digits, content])
