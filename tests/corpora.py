"""The corpus of nasty inputs: one folder a decoder, a file's name says what is wrong with it, a manifest the reason."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from edge.records import Headers
from tests.paths import ROOT

CORPUS = ROOT / "tests" / "corpus"


@dataclass(frozen=True)
class Nasty:
    """One input: `reason` is a part of the error that it must bring about; `headers` are a request's."""

    name: str
    value: bytes
    reason: str
    headers: Headers = ()


def nasty(folder: str) -> dict[str, Nasty]:
    """All inputs of one folder by name; the manifest holds headers as text, a byte for each character."""
    manifest = json.loads((CORPUS / f"{folder}.json").read_text())
    return {
        name: Nasty(
            name,
            (CORPUS / folder / name).read_bytes(),
            entry["reason"],
            [(key, None if text is None else text.encode("latin-1")) for key, text in entry.get("headers", [])],
        )
        for name, entry in manifest.items()
    }


def bad_requests() -> Iterator[tuple[str, bytes, Headers]]:
    """Each request that must become a dead letter, for a model of [28, 28, 1] uint8: its name, value and headers."""
    for item in nasty("requests").values():
        yield item.name, item.value, item.headers
