"""What imports what in this repository, read from the source: nothing is run."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.paths import ROOT

TYPE_CHECKING = "TYPE_CHECKING"


class Import(NamedTuple):
    """One import of a module of this repository: `is_late` when it waits until a function is called."""

    importer: str
    imported: str
    is_late: bool


def packages() -> list[str]:
    """The folders at the top that hold Python."""
    return sorted({path.relative_to(ROOT).parts[0] for path in _files()})


@functools.cache
def imports() -> frozenset[Import]:
    """All imports of one module of this repository by another; what only a type checker reads is none."""
    modules = {_name(path): path for path in _files()}
    found = set[Import]()
    for importer, path in modules.items():
        for name, is_late in _names(ast.parse(path.read_bytes()), False):
            imported = name if name in modules else name.rpartition(".")[0]
            if imported in modules and imported != importer:
                found.add(Import(importer, imported, is_late))
    return frozenset(found)


def _files() -> Iterator[Path]:
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in ("build", "dist", "runs"):
            yield from folder.rglob("*.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _names(tree: ast.AST, is_late: bool) -> Iterator[tuple[str, bool]]:
    """Names of what may be modules, as they stand behind import, and behind from."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == TYPE_CHECKING:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, is_late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ((f"{node.module}.{alias.name}", is_late) for alias in node.names)
        else:
            yield from _names(node, is_late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))
