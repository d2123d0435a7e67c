"""The walk over a model file against onnx's own parser: what the walk accepts, onnx finds harmless, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edge import onnxfile
from edge.errors import BadModelError
from edge.onnxschema import SCHEMA
from tests.mutations import SHORT, damaged, poisoned, restructured, trees
from tests.paths import LENET
from tests.protobuf import insert

DATA = LENET.read_bytes()


def small() -> bytes:
    """A model of 400 bytes with all that a walk must look into, so that most mutations hit it."""
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2])
    weights = helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1, 2])
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "branch", [], [value], [weights])
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    constant = helper.make_node("Constant", [], ["k"], value=weights)
    graph = helper.make_graph([constant, choice], "graph", [value], [value], [weights])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


SMALL = small()


def messages(message: Any) -> Iterator[Any]:
    """The message and all messages in it, however deep, as onnx's parser sees them."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in value if descriptor.is_repeated else [value]:
                yield from messages(inner)


def agree(data: bytes) -> bool:
    """Where the walk accepts and onnx can parse, both see the same, and onnx no external data or foreign operator.

    False where one of the two refuses.
    """
    try:
        summary = onnxfile.check(data)
        model = onnx.load_model_from_string(data)
    except (BadModelError, DecodeError):
        return False
    assert {p.key: p.value for p in model.metadata_props} == summary.metadata
    found = list(messages(model))
    assert sum(isinstance(m, onnx.NodeProto) for m in found) == summary.nodes
    for message in found:
        if isinstance(message, onnx.TensorProto):
            assert not message.external_data
            assert message.data_location == onnx.TensorProto.DEFAULT
        elif isinstance(message, onnx.NodeProto):
            assert message.domain in onnxfile.OWN_DOMAINS
        assert not isinstance(message, onnx.FunctionProto)
    return True


def test_the_small_model_is_accepted() -> None:
    assert onnxfile.check(SMALL).nodes == 4
    assert agree(SMALL)
    assert agree(DATA)


KINDS = {
    "int": {"INT32", "INT64", "UINT64", "ENUM"},
    "float": {"FLOAT"},
    "double": {"DOUBLE"},
    "name": {"STRING", "BYTES"},
    "bytes": {"STRING", "BYTES"},
    "domain": {"STRING"},
    "location": {"ENUM"},
    "external": {"MESSAGE"},
    "function": {"MESSAGE"},
}
TYPES = {value: name.removeprefix("TYPE_") for name, value in vars(FieldDescriptor).items() if name.startswith("TYPE_")}


def compare(name: str, descriptor: Any, done: set[str]) -> None:
    """The schema's message `name` has the fields that onnx's has, and so have all messages in it."""
    assert SCHEMA[name].keys() == {field.number for field in descriptor.fields}, name
    for field in descriptor.fields:
        kind, is_repeated = SCHEMA[name][field.number]
        assert is_repeated == field.is_repeated, f"{name}.{field.name}"
        assert TYPES[field.type] in KINDS.get(kind, {"MESSAGE"}), f"{name}.{field.name}"
        if kind in SCHEMA and kind not in done:
            compare(kind, field.message_type, done | {kind})


def test_the_schema_is_that_of_onnx() -> None:
    compare("model", onnx.ModelProto.DESCRIPTOR, set())


def test_the_models_that_onnx_ships_are_accepted_but_for_previews() -> None:
    files = list(Path(onnx.__file__).parent.glob("backend/test/data/**/*.onnx"))
    assert len(files) > 100
    for file in files:
        data = file.read_bytes()
        assert agree(data) or b"ai.onnx.preview" in data, file


def test_poison_is_refused_wherever_it_matters() -> None:
    verdicts = [agree(data) for data in poisoned(SMALL)]
    assert len(verdicts) > 1000
    assert verdicts.count(True) > 50  # where it means nothing


@settings(SHORT, max_examples=200)
@given(
    damaged(SMALL) | restructured(SMALL) | st.builds(insert, st.just(SMALL), st.sampled_from([(), (7,), (7, 1)]), trees)
)
def test_what_the_walk_accepts_onnx_finds_harmless(data: bytes) -> None:
    agree(data)


@settings(SHORT, max_examples=50)
@given(restructured(DATA))
def test_what_the_walk_accepts_of_the_real_model_onnx_finds_harmless(data: bytes) -> None:
    agree(data)
