"""The wire format of Protocol Buffers, read strictly and without copying; what a field means is not known here.

The format is that of the encoding guide of Protocol Buffers. Stricter than a reader must be: groups, field number 0,
and tags of more than 32 bits are refused, since readers that go on differ in what they then see.
"""

from collections.abc import Iterator

from edge.errors import BadModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MAX_TAG = 2**32 - 1
_MAX_VARINT = 2**64 - 1

Value = int | memoryview
"""A varint is an int from 0 to 2**64 - 1; all else is the field's bytes, a view of the message."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, value) of each field of `message`, in the order of the file.

    Raises: BadModelError when the message is malformed or truncated.
    """
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or tag > _MAX_TAG:
            raise BadModelError("the file is not an ONNX model: a field in it has an impossible number")
        if wire_type == VARINT:
            value, position = _varint(message, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, position = _varint(message, position)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise BadModelError("the file is not an ONNX model: a field in it is of an unknown wire type")
        if size > end - position:
            raise BadModelError("the file is not an ONNX model, or it is truncated")
        yield number, wire_type, message[position : position + size]
        position += size


def varints(packed: memoryview) -> Iterator[int]:
    """The numbers of a packed field.

    Raises: BadModelError when it is malformed or truncated.
    """
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise BadModelError("the file is not an ONNX model, or it is truncated")
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            if result > _MAX_VARINT:
                break
            return result, position
    raise BadModelError("the file is not an ONNX model: a number in it has more than 64 bits")
