"""Ways to damage good input, and to build input that was never good, as hypothesis strategies."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from edge import protobuf
from edge.errors import BadModelError
from tests.protobuf import field, varint

SHORT = settings(deadline=5000, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""The same few inputs each time, so that the suite finds what it found before; a campaign takes more, at random."""

NUMBERS = st.sampled_from([0, 1, 2, 7, 22, 127, 128, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])

_EXTERNAL = field(13, field(1, b"location") + field(2, b"/etc/passwd"))
POISON = [
    _EXTERNAL, field(14, 1), field(7, b"evil"), field(5, _EXTERNAL), field(8, _EXTERNAL), field(5, field(5, _EXTERNAL)),
    field(7, field(5, _EXTERNAL)), field(6, field(5, _EXTERNAL)), field(1, 10**9), field(14, b"\1"), field(7, b""),
]  # fmt: skip
"""Fields that mean harm in one message of ONNX or another: data elsewhere, operators of others, huge dimensions."""


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` after some accidents: bits turned, cut off, overwritten, spliced, repeated, lengths changed."""
    return st.composite(lambda draw: _damage(draw, good))()


def restructured(good: bytes) -> st.SearchStrategy[bytes]:
    """The protobuf message `good` with a field repeated, dropped, renumbered or added, somewhere in it."""
    return st.composite(lambda draw: _restructure(draw, good, 0))()


def _damage(draw: st.DrawFn, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(0, 40))
        match draw(st.sampled_from(["turn", "cut", "overwrite", "insert", "remove", "repeat", "move", "number"])):
            case "turn" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place:]
            case "overwrite":
                noise = draw(st.binary(max_size=40))
                data[place : place + len(noise)] = noise
            case "insert":
                data[place:place] = draw(st.binary(max_size=40))
            case "remove":
                del data[place : place + size]
            case "repeat":
                data[place:place] = data[place : place + size] * draw(st.integers(1, 5))
            case "move":
                data[place:place] = data[(other := draw(st.integers(0, len(data)))) : other + size]
            case "number":
                data[place : place + 1] = varint(draw(NUMBERS))
    return bytes(data)


def _restructure(draw: st.DrawFn, good: bytes, depth: int) -> bytes:
    fields = [(number, value) for number, _, value in protobuf.fields(memoryview(good))]
    parts = [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields]
    encoded = [field(number, value) for number, value in parts]
    nested = [i for i, (_, value) in enumerate(parts) if isinstance(value, bytes) and value and _is_message(value)]
    place = draw(st.integers(0, max(0, len(parts) - 1)))
    if nested and depth < 8 and draw(st.integers(0, 4)):
        place = draw(st.sampled_from(nested))
        number, value = parts[place]
        assert isinstance(value, bytes)
        encoded[place] = field(number, _restructure(draw, value, depth + 1))
        return b"".join(encoded)
    match draw(st.sampled_from(["repeat", "drop", "renumber", "resize", "add"])):
        case "repeat" if parts:
            encoded.insert(place, encoded[place])
        case "drop" if parts:
            del encoded[place]
        case "renumber" if parts:
            encoded[place] = field(draw(st.integers(1, 26)), parts[place][1])
        case "resize" if parts and isinstance(parts[place][1], int):
            encoded[place] = field(parts[place][0], draw(NUMBERS))
        case _:
            encoded.insert(place, field(draw(st.integers(1, 26)), draw(trees | NUMBERS)))
    return b"".join(encoded)


def poisoned(good: bytes) -> Iterator[bytes]:
    """The protobuf message `good` with each field of POISON, in each encoding, at each end of each message in it."""
    for poison in POISON:
        # A tag of one byte as it is; with a bit beyond the 32 that readers keep; longer than need be.
        for tag in (poison[:1], varint(poison[0] + 2**32), bytes([poison[0] | 0x80, 0x80, 0])):
            yield from _everywhere(good, tag + poison[1:])


def _everywhere(message: bytes, content: bytes) -> Iterator[bytes]:
    yield content + message
    yield message + content
    parts = [(n, v if isinstance(v, int) else bytes(v)) for n, _, v in protobuf.fields(memoryview(message))]
    encoded = [field(number, value) for number, value in parts]
    for place, (number, value) in enumerate(parts):
        if isinstance(value, bytes) and value and _is_message(value):
            for inner in _everywhere(value, content):
                yield b"".join([*encoded[:place], field(number, inner), *encoded[place + 1 :]])


def _is_message(value: bytes) -> bool:
    try:
        return len(value) < 20_000 and all(number < 30 for number, _, _ in protobuf.fields(memoryview(value)))
    except BadModelError:
        return False


def _message(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    fields = st.builds(field, st.integers(1, 26), children | NUMBERS)
    return st.lists(fields, max_size=6).map(b"".join)


trees: st.SearchStrategy[bytes] = st.recursive(st.binary(max_size=12), _message, max_leaves=40)
"""Protobuf messages of any shape, with ONNX's field numbers and leaves of noise."""


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -1, 256, "\ud800", [], {}, "x" * 2000]),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=8,
)


def mutated_json(good: bytes) -> st.SearchStrategy[bytes]:
    """The JSON document `good` with some of its values replaced, removed or repeated."""
    return st.composite(lambda draw: _mutate_json(draw, good))()


def _mutate_json(draw: st.DrawFn, good: bytes) -> bytes:
    document = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        document = _replace(draw, document)
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def _replace(draw: st.DrawFn, value: Any) -> Any:
    keys = list(range(len(value))) if isinstance(value, list) else list(value) if isinstance(value, dict) else []
    if not keys or not draw(st.integers(0, 3)):
        return draw(JSON_VALUES)
    key = draw(st.sampled_from(keys))
    if draw(st.booleans()):
        value[key] = _replace(draw, value[key])
    elif draw(st.booleans()) or isinstance(value, dict):
        del value[key]
    else:
        value.insert(key, value[key])
    return value
