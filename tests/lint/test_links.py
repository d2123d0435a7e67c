"""Every link of a page that stays within the repository leads somewhere: to a file, and to a heading in it."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import blocks, pages
from tests.paths import ROOT

LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def prose(path: Path) -> str:
    """A page without its blocks of code, and without code within a line."""
    text = path.read_text()
    lines = text.splitlines()
    for block in blocks(path.name, text):
        lines[block.line - 1 : block.line - 1 + len(block.lines)] = [""] * len(block.lines)
    return re.sub(r"(`+)[^`].*?\1", "", "\n".join(lines))


def anchors(path: Path) -> set[str]:
    """The anchors of a page as GitHub makes them from its headings; a second one of a name gets a number."""
    lines = re.sub(r"^ {0,3}(```|~~~).*?^ {0,3}\1", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set(ANCHOR.findall(lines))
    for heading in HEADING.findall(lines):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found.add(f"{words}-{seen[words]}" if seen[words] else words)
        seen[words] += 1
    return found


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for target in (first or second for first, second in LINK.findall(prose(page))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("[a](there.md)", True),
        ("[a](there.md#two-words)", True),
        ("[a](there.md#two-words-1)", True),
        ("[a](there.md#a-link)", True),
        ("[a](#here)", True),
        ("[a](https://example.org/no.md)", True),
        ("`[a](gone.md)`", True),
        ("    [a](gone.md)", True),
        ("[a](gone.md)", False),
        ("![a](gone.png)", False),
        ("[a][b]\n\n[b]: gone.md", False),
        ("[a](there.md#two-words-2)", False),
        ("[a](there.md#no-heading)", False),
        ("[a](#there)", False),
    ],
)
def test_what_counts_as_a_link(tmp_path: Path, link: str, leads: bool) -> None:
    there = "# Two words\n\n## Two, words?\n\n### A [link](x)\n\n```\n# No heading\n```\n"
    (tmp_path / "there.md").write_text(there)
    (tmp_path / "page.md").write_text(f"# Here\n\n{link}\n")
    assert (broken(tmp_path / "page.md") == []) is leads
