"""What imports what: as docs/architecture.md allows, in no circle, and as the picture there shows."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.__main__ import FIGURE
from tests.architecture.figure import read, write
from tests.architecture.graph import GROUPS, between_groups, between_packages, depths, described, group_of, reduced
from tests.architecture.imports import Import, _names, imports, packages
from tests.architecture.rules import PAGE, allowed, broken
from tests.paths import ROOT


def test_no_package_imports_what_it_may_not() -> None:
    rules = allowed(PAGE.read_text())
    assert set(packages()) <= set(rules)
    assert broken(imports(), rules) == []


def test_an_import_that_is_not_allowed_is_named() -> None:
    rules = allowed(PAGE.read_text())
    assert broken([Import("training.data", "edge.images", False)], rules) == [
        "training.data imports edge.images, but training may not import edge"
    ]
    assert broken([Import("edge.model", "export.parity", True), Import("new.thing", "edge", False)], rules) == [
        "edge.model imports export.parity, but edge may not import export",
        "new.thing imports edge, but new may not import edge",
    ]
    assert broken([Import("tests.x", "training.data", False), Import("edge.a", "edge.b", False)], rules) == []


def test_the_picture_is_what_the_imports_say() -> None:
    assert read(ROOT / FIGURE) == described(), "draw it again: python -m tests.architecture"


def test_a_picture_holds_what_it_was_made_of(tmp_path: Path) -> None:
    write(tmp_path / "a.svg")
    write(tmp_path / "b.svg")
    assert read(tmp_path / "a.svg") == described()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    text = (tmp_path / "a.svg").read_text()
    assert all(group in text for group in GROUPS)


def test_nothing_imports_in_a_circle() -> None:
    early = [i for i in imports() if not i.is_late]
    modules = {name for i in early for name in i[:2]}
    assert depths(modules, {(i.importer, i.imported): False for i in early})["edge.errors"] == 0
    assert depths(packages(), between_packages(early))["edge"] == 0
    assert depths(GROUPS, between_groups(early))["errors"] == 0
    with pytest.raises(RecursionError):
        depths("ab", {("a", "b"): False, ("b", "a"): False})


def test_every_module_of_edge_has_one_place() -> None:
    assert group_of("edge.kafka_sink") == "kafka-python"
    with pytest.raises(LookupError, match=r"put edge/unheard_of.py into GROUPS"):
        group_of("edge.unheard_of")
    grouped = [module for modules in described()["groups"].values() for module in modules]
    assert sorted(grouped) == sorted(path.stem for path in (ROOT / "edge").glob("[!_]*.py"))


def test_imports_are_read_wherever_they_stand() -> None:
    source = """
from typing import TYPE_CHECKING
import edge.errors
from edge import cli, logs as lines
if TYPE_CHECKING:
    from edge.model import Model
try:
    from edge.codec import Request
except ImportError:
    pass
class Late:
    def method(self):
        with open("x"):
            from edge.swap import ModelWatch
"""
    assert set(_names(ast.parse(source), False)) == {
        ("typing.TYPE_CHECKING", False),
        ("edge.errors", False),
        ("edge.cli", False),
        ("edge.logs", False),
        ("edge.codec.Request", False),
        ("edge.swap.ModelWatch", True),
    }
    found = imports()
    assert Import("edge.pubsub", "edge.kafka_client", True) in found
    assert Import("edge.query", "edge.cli", False) in found
    assert Import("edge.consumer", "edge.drawn", False) not in found


def test_arrows_that_others_make_up_for_are_left_out() -> None:
    edges = {("a", "b"): False, ("b", "c"): False, ("a", "c"): False, ("a", "d"): True}
    assert set(reduced(edges)) == {("a", "b"), ("b", "c")}


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:[\w*-]+/)+[\w*.-]*)`", PAGE.read_text())) - {"viewer/"}
    assert len(named) > 40
    assert [name for name in sorted(named) if not list(ROOT.glob(name))] == []
