"""Ways to damage good input, and to build input that was never good, as hypothesis strategies."""

from hypothesis import strategies as st

from edge import protobuf
from edge.errors import BadModelError
from tests.protobuf import field, varint

NUMBERS = st.sampled_from([0, 1, 2, 7, 22, 127, 128, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])


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
    parts = [(n, v if isinstance(v, int) else bytes(v)) for n, v in fields]
    nested = [i for i, (_, v) in enumerate(parts) if isinstance(v, bytes) and v and _is_message(v)]
    if nested and depth < 6 and draw(st.integers(0, 4)):
        place = draw(st.sampled_from(nested))
        number, value = parts[place]
        assert isinstance(value, bytes)
        parts[place] = (number, _restructure(draw, value, depth + 1))
    else:
        place = draw(st.integers(0, max(0, len(parts) - 1)))
        match draw(st.sampled_from(["repeat", "drop", "renumber", "resize", "add"])):
            case "repeat" if parts:
                parts.insert(place, parts[place])
            case "drop" if parts:
                del parts[place]
            case "renumber" if parts:
                parts[place] = (draw(st.integers(1, 26)), parts[place][1])
            case "resize" if parts and isinstance(parts[place][1], int):
                parts[place] = (parts[place][0], draw(NUMBERS))
            case _:
                parts.insert(place, (draw(st.integers(1, 26)), draw(trees | NUMBERS)))
    return b"".join(field(n, v) for n, v in parts)


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
