"""Every nasty input of the corpus is refused by its decoder, with the documented error and its own reason."""

import tracemalloc
from collections.abc import Callable

import pytest

from edge.codec import decode_prediction, decode_request
from edge.contract import Contract
from edge.errors import BadDataError, BadModelError, BadRequestError, EdgeError
from edge.images import load_images
from edge.model import load_model_bytes
from edge.records import Partition, Record
from tests.corpora import CORPUS, Nasty, bad_requests, nasty

LENET = Contract("lenet", "image", "uint8", (28, 28, 1), "HWC", "probabilities", tuple("abcdefghij"))
MAX_BYTES = 100_000
MAX_MEMORY = 16 * 2**20


def record(item: Nasty) -> Record:
    return Record(Partition("requests", 3), 17, 0, None, item.value, item.headers)


def images(item: Nasty) -> object:
    return load_images(CORPUS / "images" / item.name)


DECODERS: dict[str, tuple[Callable[[Nasty], object], type[EdgeError]]] = {
    "requests": (lambda item: decode_request(record(item), LENET), BadRequestError),
    "predictions": (lambda item: decode_prediction(record(item)), BadDataError),
    "contracts": (lambda item: Contract.from_json(item.value), BadModelError),
    "models": (lambda item: load_model_bytes(item.value, item.name), BadModelError),
    "images": (images, BadDataError),
}
ITEMS = [
    pytest.param(folder, item, id=f"{folder}/{item.name}") for folder in DECODERS for item in nasty(folder).values()
]


@pytest.mark.parametrize(("folder", "item"), ITEMS)
def test_a_nasty_input_is_refused_with_its_reason_and_little_memory(folder: str, item: Nasty) -> None:
    decode, error = DECODERS[folder]
    tracemalloc.start()
    try:
        with pytest.raises(error) as raised:
            decode(item)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert item.reason in raised.value.message
    assert len(raised.value.message) < 700
    assert peak < MAX_MEMORY


def test_the_manifests_name_each_file_and_the_corpus_stays_small() -> None:
    assert {file.name for file in CORPUS.iterdir() if file.is_dir()} == set(DECODERS)
    for folder in DECODERS:
        assert sorted(file.name for file in (CORPUS / folder).iterdir()) == sorted(nasty(folder))
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < MAX_BYTES
    assert [name for name, _, _ in bad_requests()] == list(nasty("requests"))
