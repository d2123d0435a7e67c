"""JSON that somebody else wrote: its length, depth and number of values are bounded before a parser sees it."""

import json
import re
from dataclasses import dataclass
from typing import Any

# A text (never taken back, so the time is linear and nothing is remembered), or one bracket.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may have; each comma, opening bracket and quotation mark, even in a text, is one of `values`."""

    bytes: int
    depth: int
    values: int


def parse(text: bytes, limits: Limits) -> Any:
    """The document in `text`.

    Raises: ValueError, with a clause that begins with "it", for whatever exceeds `limits`, is not UTF-8 or not JSON,
    names one key twice, or could not be written again as UTF-8 JSON: lone surrogates, and numbers beyond a float's.
    """
    if len(text) > limits.bytes:
        raise ValueError(f"it has {len(text):,} bytes; at most {limits.bytes:,} are accepted")
    if sum(map(text.count, (b",", b"[", b"{", b'"'))) > limits.values:
        raise ValueError(f"it has more than {limits.values:,} values")
    if _is_deeper(text, limits.depth):
        raise ValueError(f"it nests deeper than {limits.depth} levels")
    try:
        document = json.loads(text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except ValueError:
        # From int() for thousands of digits, or from dumps() for 1e999.
        raise ValueError("it holds a number out of range") from None
    return document


class _RefusedError(ValueError):
    """What the parser would accept."""


def _is_deeper(text: bytes, limit: int) -> bool:
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif token in b"]}":
            depth -= 1
            if depth < 0:
                # No parser goes on from here.
                return False
    return False


def _refuse_constant(name: str) -> float:
    raise _RefusedError(f"it is not JSON ({name})")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise _RefusedError("it is not JSON of one meaning (an object names a key twice)")
    return document
