"""Requests, predictions and dead letters as the apps write them."""

from edge.codec import PredictionEncoder, Request, Timing
from edge.contract import Contract
from edge.errors import BadRequestError
from edge.letter import encode_dead_letter
from edge.records import Headers, Partition, Record

SHA256 = "0123456789ab"
TIMING = Timing(received_ns=1_003_000_000, sent_ns=1_005_000_000, queue_ms=0.5, infer_ms=1.0, batch=3)
REQUESTS, PREDICTIONS, DEAD_LETTERS = Partition("asked", 0), Partition("answered", 0), Partition("dead", 0)


def request(offset: int, name: str | None = None, value: bytes = bytes(784), headers: Headers = ()) -> Record:
    """A request with the id `name`, created a second after 1970 began."""
    own: Headers = [("created-ns", b"1000000000"), *([] if name is None else [("request-id", name.encode())])]
    return Record(REQUESTS, offset, 0, b"camera", value, [*own, *headers])


def prediction(asked: Record, contract: Contract, number: int = 9, confidence: float = 0.9, offset: int = 0) -> Record:
    """The answer to a request: class `number` of the contract."""
    name = dict(asked.headers).get("request-id") or b"%s-0-%d" % (asked.partition.topic.encode(), asked.offset)
    copied = [(key, value or b"") for key, value in asked.headers]
    known = Request(asked, name.decode(), asked.value or b"", copied)
    (encoded,) = PredictionEncoder(contract, SHA256).encode([known], [number], [confidence], TIMING)
    return Record(PREDICTIONS, offset, 0, *encoded)


def dead_letter(asked: Record, offset: int = 0) -> Record:
    """Why a request was not answered."""
    return Record(DEAD_LETTERS, offset, 0, *encode_dead_letter(asked, BadRequestError("it is no image"), 900_000))
