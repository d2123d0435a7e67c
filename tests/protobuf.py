"""Protocol Buffers written by hand, to make the files that no exporter would write."""

from edge import protobuf


def varint(value: int) -> bytes:
    """A number in base 128, lowest digits first."""
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def field(number: int, content: bytes | int) -> bytes:
    """One field: a number as a varint, bytes with their length before them."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | protobuf.BYTES) + varint(len(content)) + content


def without(message: bytes, *numbers: int) -> bytes:
    """The message without these fields."""
    kept = [(n, v) for n, _, v in protobuf.fields(memoryview(message)) if n not in numbers]
    return b"".join(field(n, v if isinstance(v, int) else bytes(v)) for n, v in kept)


def insert(message: bytes, path: tuple[int, ...], content: bytes) -> bytes:
    """The message with `content` at the end of the first submessage that `path`, field numbers, leads to."""
    if not path:
        return message + content
    parts, is_done = [], False
    for number, wire_type, value in protobuf.fields(memoryview(message)):
        assert wire_type in (protobuf.VARINT, protobuf.BYTES), "insert() writes no numbers of fixed size"
        part = value if isinstance(value, int) else bytes(value)
        if number == path[0] and not is_done and isinstance(part, bytes):
            part, is_done = insert(part, path[1:], content), True
        parts.append(field(number, part))
    assert is_done, f"there is no field {path[0]}"
    return b"".join(parts)
