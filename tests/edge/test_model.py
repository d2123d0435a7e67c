"""The model file: what is served, and all that is refused before or after onnxruntime sees it."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import model, onnxfile
from edge.contract import METADATA_KEY, Contract
from edge.errors import BadModelError
from edge.images import Images
from edge.model import load_model, load_model_bytes
from tests.paths import LENET, ROOT
from tests.protobuf import field, insert, without

DATA = LENET.read_bytes()
OWN = Contract.from_json(onnxfile.check(DATA).metadata[METADATA_KEY])


def graph(number: int, content: bytes) -> bytes:
    """The real model with one more field in its graph."""
    return insert(DATA, (7,), field(number, content))


def test_it_is_right_about_real_images(samples: Images) -> None:
    served = load_model(LENET)
    probabilities = served.infer(samples.image.reshape(-1, 28, 28, 1))
    assert probabilities.shape == (200, 10)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert samples.label is not None
    assert (probabilities.argmax(axis=1) == samples.label).mean() >= 0.85
    assert samples.label_names == served.contract.labels


def test_a_name_in_an_error_does_not_steer_the_terminal() -> None:
    with pytest.raises(BadModelError, match="onnxruntime cannot load") as raised:
        load_model_bytes(graph(1, field(2, b"z") + field(4, b"Evil\x1b[2J")), "memory")
    assert "Evil\N{REPLACEMENT CHARACTER}[2J" in raised.value.message


def test_nothing_is_printed_for_an_error_that_is_no_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # onnxruntime quotes what Python cannot decode; its fallback would print to stdout. The walk lets no such name pass.
    monkeypatch.setattr(onnxfile, "check", lambda _: onnxfile.Summary({}, 1))
    with pytest.raises(BadModelError, match="onnxruntime cannot load"):
        load_model_bytes(graph(1, field(2, b"z") + field(4, b"\xff")), "memory", OWN)
    assert capfd.readouterr() == ("", "")


def test_a_path_at_which_nobody_can_look_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match=r"the model file .* cannot be read \(File name too long\)"):
        load_model(tmp_path / ("x" * 300))


def test_the_hash_is_that_of_the_file() -> None:
    assert load_model(LENET).sha256 == hashlib.sha256(DATA).hexdigest()[:12]


@pytest.mark.parametrize("count", [7, model.RUN_BATCH, 2 * model.RUN_BATCH + 1])
def test_a_batch_gives_what_single_images_give(samples: Images, count: int) -> None:
    served = load_model(LENET)
    images = samples.image[:count].reshape(-1, 28, 28, 1)
    singly = np.concatenate([served.infer(images[i : i + 1]) for i in range(count)])
    np.testing.assert_allclose(served.infer(images), singly, atol=1e-6)


def test_a_model_of_single_images_gets_them_one_by_one() -> None:
    served = load_model_bytes(hungry(3, batch=field(1, 1)), "single")
    np.testing.assert_array_equal(served.infer(np.array([[1], [2], [4]], np.float32)), [[1], [2], [4]])


def nested(levels: int) -> bytes:
    message = b""
    for _ in range(levels):
        message = field(1, field(5, field(6, message)))
    return message


EVIL = field(13, field(1, b"location") + field(2, b"/etc/passwd"))
CONTRACT_PROPERTY = field(14, field(1, METADATA_KEY.encode()) + field(2, b"{"))
BAD = {
    "empty": (b"", "no graph"),
    "text": (b"this is not a model at all, only text", "not an ONNX model"),
    "truncated": (DATA[: len(DATA) // 2], "truncated"),
    "last byte missing": (DATA[:-1], "truncated"),
    "external data": (graph(5, EVIL), "weights in another file"),
    "metadata twice": (DATA + CONTRACT_PROPERTY, "twice"),
    "no contract": (field(7, field(2, b"main")), "carries no contract"),
    "bad contract": (field(7, b"") + CONTRACT_PROPERTY, "not JSON"),
    "no such operator": (graph(1, field(2, b"x") + field(4, b"NoSuchOp")), "onnxruntime cannot load"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    data, reason = BAD[name]
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(BadModelError) as raised:
        load_model(path)
    assert raised.value.message.startswith(str(path))
    assert reason in raised.value.message
    assert raised.value.exit_code == 78


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "input name": ({"input_name": "x"}, "input is 'x'"),
    "dtype": ({"dtype": "float32", "golden": ()}, "input is of float32"),
    "shape": ({"shape": (28, 27, 1), "golden": ()}, "shape [28, 27, 1]"),
    "rank": ({"shape": (28, 28), "golden": ()}, "shape [28, 28]"),
    "output name": ({"output_name": "y"}, "output is 'y'"),
    "labels": ({"labels": ("a", "b"), "golden": (), "reference": None}, "2 labels need"),
    "golden": (
        {"golden": tuple(dataclasses.replace(g, probabilities=g.probabilities[::-1]) for g in OWN.golden)},
        "golden inputs",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contract_that_contradicts_its_model_is_refused(name: str, tmp_path: Path) -> None:
    changes, reason = CONTRADICTIONS[name]
    contract = tmp_path / "contract.json"
    contract.write_text(dataclasses.replace(OWN, **changes).to_json())
    with pytest.raises(BadModelError) as raised:
        load_model(LENET, contract)
    assert reason in raised.value.message


@pytest.mark.parametrize(
    ("precision", "change", "served"),
    [("float32", 0.01, False), ("int8", 0.01, True), ("float16", 0.01, True), ("int8", 0.2, False)],
)
def test_fewer_bits_may_round_differently_on_another_processor(
    precision: str, change: float, served: bool, tmp_path: Path
) -> None:
    # Towards the middle, so that each stays from 0 to 1.
    golden = [dataclasses.replace(g, probabilities=g.probabilities * (1 - change) + change / 10) for g in OWN.golden]
    contract = tmp_path / "contract.json"
    contract.write_text(dataclasses.replace(OWN, precision=precision, golden=tuple(golden)).to_json())
    if served:
        assert load_model(LENET, contract).contract.precision == precision
    else:
        with pytest.raises(BadModelError, match="golden inputs otherwise than at export"):
            load_model(LENET, contract)


def test_a_contract_file_serves_a_model_that_carries_none(tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(json.dumps({**json.loads(OWN.to_json()), "name": "theirs"}))
    assert load_model(LENET, contract).contract.name == "theirs"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match=r"no model file .*none\.onnx"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(BadModelError, match=r"no contract file .*none\.json"):
        load_model(LENET, tmp_path / "none.json")
    with pytest.raises(BadModelError, match="no regular file"):
        load_model(tmp_path)


def test_a_huge_file_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxfile, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(BadModelError, match="1,001 bytes; at most 1,000"):
        load_model(LENET)


def test_bytes_are_served_like_a_file() -> None:
    assert load_model_bytes(DATA, "memory").sha256 == load_model(LENET).sha256


def test_the_file_that_is_pinned_is_served() -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    assert load_model(LENET, sha256=digest).sha256 == digest[:12]
    assert load_model(LENET, sha256=digest.upper()).sha256 == digest[:12]


def test_another_file_than_the_pinned_one_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model at all")
    found, wanted = hashlib.sha256(b"no model at all").hexdigest(), "ab" * 32
    with pytest.raises(BadModelError) as raised:
        load_model(path, sha256=wanted)
    assert found in raised.value.message
    assert wanted in raised.value.message


def test_a_file_that_also_looks_like_onnxruntimes_own_format_is_read_as_onnx() -> None:
    # onnxruntime looks for ORTM at byte 4 unless told otherwise, and its own format has no walk.
    polyglot = field(1, 8) + field(2, b"ORTM") + without(DATA, 1, 2)
    assert polyglot[4:8] == b"ORTM"
    assert load_model_bytes(polyglot, "memory").contract.name == OWN.name


NAMED = {"name": "hungry", "input": {"name": "x", "dtype": "float32", "shape": [1]}, "output": {"name": "y"}}


def hungry(elements: int, parts: int = 1, batch: bytes = field(2, b"N")) -> bytes:
    """A small model that asks for `elements` floats, `parts` times: y = x + sum(ConstantOfShape(elements)) + …"""
    nodes: list[tuple[str, list[str], str]] = []
    for n in range(parts):
        # A constant of its own for each, or onnxruntime would merge them.
        nodes += [("ConstantOfShape", [f"s{n}"], f"c{n}"), ("ReduceSum", [f"c{n}"], f"r{n}")]
        nodes += [("Add", ["x" if n == 0 else f"y{n}", f"r{n}"], "y" if n == parts - 1 else f"y{n + 1}")]
    content = b"".join(
        field(1, b"".join(field(1, i.encode()) for i in inputs) + field(2, output.encode()) + field(4, kind.encode()))
        for kind, inputs, output in nodes
    )
    content += field(2, b"g") + b"".join(
        field(
            5, field(1, 1) + field(2, 7) + field(8, f"s{n}".encode()) + field(9, (elements - n).to_bytes(8, "little"))
        )
        for n in range(parts)
    )
    shape = batch, field(1, 1)
    content += field(11, value(b"x", 1, *shape)) + field(12, value(b"y", 1, *shape))
    contract = field(14, field(1, b"contract") + field(2, json.dumps({**NAMED, "labels": ["a"]}).encode()))
    return field(1, 8) + field(7, content) + field(8, field(2, 17)) + contract


def value(name: bytes, kind: int, *dimensions: bytes) -> bytes:
    """A ValueInfoProto of a tensor of ONNX data type `kind`."""
    shape = b"".join(field(1, dimension) for dimension in dimensions)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def endless() -> bytes:
    """A model of 300 bytes that doubles its input 2**62 times."""
    batch = field(2, b"N"), field(1, 1)
    body = field(1, field(1, b"c") + field(2, b"d") + field(4, b"Identity"))
    body += field(1, field(1, b"v") * 2 + field(2, b"w") + field(4, b"Add")) + field(2, b"body")
    body += field(11, value(b"i", 7)) + field(11, value(b"c", 9)) + field(11, value(b"v", 1, *batch))
    body += field(12, value(b"d", 9)) + field(12, value(b"w", 1, *batch))
    inputs = field(1, b"times") + field(1, b"true") + field(1, b"x")
    loop = inputs + field(2, b"y") + field(4, b"Loop") + field(5, field(1, b"body") + field(6, body) + field(20, 5))
    content = field(1, loop) + field(2, b"g") + field(11, value(b"x", 1, *batch)) + field(12, value(b"y", 1, *batch))
    content += field(5, field(2, 7) + field(8, b"times") + field(9, (2**62).to_bytes(8, "little")))
    content += field(5, field(2, 9) + field(8, b"true") + field(9, b"\1"))
    contract = field(14, field(1, b"contract") + field(2, json.dumps({**NAMED, "labels": ["a"]}).encode()))
    return field(1, 8) + field(7, content) + field(8, field(2, 17)) + contract


def test_a_model_that_never_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MAX_WARM_UP_S", 0.2)
    with pytest.raises(BadModelError, match=r"no answer to its first images after 0\.2 s"):
        load_model_bytes(endless(), "endless")


def test_a_small_model_that_asks_for_much_memory_is_refused() -> None:
    assert load_model_bytes(hungry(1000), "small").contract.name == "hungry"
    with pytest.raises(BadModelError, match="fails on its first images"):
        load_model_bytes(hungry(2**30), "big")


GROWTH = """
import resource
from edge import model
from tests.edge.test_model import hungry
model.MAX_MEMORY_BYTES = 64 * 2**20
model.load_model_bytes(hungry(1000), "small")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.load_model_bytes(hungry(2**22, 20), "large")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_constants_that_are_computed_at_load_stay_within_the_limit() -> None:
    # 20 of 16 MB; a process of its own, for its memory is measured and its limit is set once.
    ended = subprocess.run([sys.executable, "-c", GROWTH], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 100
