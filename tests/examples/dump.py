"""The real request and reply in docs/wire-format.md; `python -m tests.examples.dump` makes them anew."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edge.images import load_images
from edge.records import Encoded, Record
from localkafka import LocalKafka
from tests.paths import IMAGES, ROOT
from tests.recorder import read_all
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire, wire_on

PAGE = ROOT / "docs" / "wire-format.md"
BEGIN, END = "<!-- wire: begin -->", "<!-- wire: end -->"
SPARSE = 184
"""The sample whose dump has the fewest lines."""

_WIDTH = 16
_LINE = re.compile(r"([0-9a-f]{8})(?:  ((?:[0-9a-f]{2} {1,2})+) *\|.{1,16}\|)?|\*")


def dump(data: bytes) -> Iterator[str]:
    """The lines that `hexdump -C` prints."""
    last, is_folded = b"", False
    for at in range(0, len(data), _WIDTH):
        part = data[at : at + _WIDTH]
        if part == last:
            if not is_folded:
                yield "*"
            is_folded = True
            continue
        last, is_folded = part, False
        digits = f"{part[:8].hex(' ')}  {part[8:].hex(' ')}"
        yield f"{at:08x}  {digits:<48}  |{''.join(chr(b) if 32 <= b < 127 else '.' for b in part)}|"
    yield f"{len(data):08x}"


def parse(lines: list[str]) -> bytes:
    """The bytes that were dumped; raises ValueError for a line that is none of `dump`'s."""
    data = bytearray()
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{line!r} is no line of a dump")
        if match[1] is not None:
            while len(data) < int(match[1], 16):
                data += data[-_WIDTH:]
            data += bytes.fromhex(match[2] or "")
    return bytes(data)


def write_record(title: str, record: Record) -> Iterator[str]:
    """A record as the page shows it."""
    yield from (f"{title}:", "", "```", "key", *dump(record.key or b""))
    for name, value in record.headers:
        yield from (f"header {name}", *dump(value or b""))
    yield from ("value", *dump(record.value or b""), "```")


def read_records(page: str) -> list[Encoded]:
    """The records that the page shows."""
    shown = page[page.index(BEGIN) : page.index(END)]
    return [_read_record(block.splitlines()) for block in re.findall(r"```\n(.*?)```", shown, re.DOTALL)]


def _read_record(lines: list[str]) -> Encoded:
    starts = [n for n, line in enumerate(lines) if line in ("key", "value") or line.startswith("header ")]
    parts = [
        (lines[start], parse(lines[start + 1 : end])) for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]
    (_, key), *headers, (_, value) = parts
    return Encoded(key, value, [(name.removeprefix("header "), content) for name, content in headers])


def answered(wire: Wire, request: Encoded) -> Record:
    """What a real classifier answers; the first of three, since the very first image is slower."""
    assert request.value is not None
    with Process("edge.classifier", *wire.classifier) as classifier:
        for _ in range(3):
            count = len(wire.predicted())
            wire.send([(request.value, request.headers)], lambda _: request.key or b"")
            wait_until(lambda: len(wire.predicted()) > count, "the prediction")  # noqa: B023 - waited for at once
        assert classifier.terminate() == 0
    return wire.predicted()[-1]


def main() -> None:
    """Ask a real classifier over a real broker, and write both records into the page."""
    image = load_images(IMAGES).image[SPARSE].tobytes()
    with LocalKafka() as broker:
        wire = replace(wire_on(broker), requests="prediction_request", predictions="prediction_output")
        wire.create()
        now = str(time.time_ns()).encode()
        headers = [("request-id", b"7f3a-0001"), ("created-ns", now), ("true-label", b"Sandal")]
        request = Encoded(b"camera-1", image, headers)
        reply = answered(wire, request)
        (asked, *_) = read_all(wire.servers, wire.requests)
    shown = [*write_record("The request", asked), "", *write_record("The prediction", reply)]
    _replace(PAGE, "\n".join([BEGIN, *shown, END]))


def _replace(path: Path, block: str) -> None:
    page = path.read_text()
    path.write_text(page[: page.index(BEGIN)] + block + page[page.index(END) + len(END) :])


if __name__ == "__main__":
    main()
