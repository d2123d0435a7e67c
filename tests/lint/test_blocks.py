"""What the pages show is what it says: JSON that parses, Python that compiles, commands that the table knows rightly.

`make test-docs` runs them.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.docs.entries import NotRun, Replaced
from tests.docs.pages import COMMANDS, CONSOLE, LANGUAGES, Block, Command, blocks, commands, pages
from tests.docs.reviewed import background, replaced
from tests.docs.script import PREAMBLE, differs
from tests.docs.table import ENTRIES
from tests.paths import ROOT

BLOCKS = [block for page in pages() for block in blocks(page, (ROOT / page).read_text())]
RUN = [command for block in BLOCKS if block.language in (COMMANDS, CONSOLE) for command in commands(block)]
CODE = [Command(block.page, block.line, block.text) for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_is_what_it_says(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.language == "json":
        json.loads(block.text)
    if block.language == "python":
        compile(block.text, block.place, "exec")


def test_every_entry_of_the_table_fits_a_command() -> None:
    assert len(RUN) > 100
    assert [entry for entry in ENTRIES if not any(map(entry.fits, [*RUN, *CODE]))] == []
    assert all(entry.why for entry in ENTRIES if isinstance(entry, Replaced | NotRun))


PAGE = """Text
    is not indented code here.

    one  # a comment

    # nothing
    for x in 1; do
        two
    done

```console
$ three 1
shown … 2
```

~~~python
# four.py
five()
~~~
"""


def test_blocks_and_their_commands() -> None:
    indented, console, python = blocks("page.md", PAGE)
    assert [(c.line, c.text) for c in commands(indented)] == [
        (4, "one  # a comment\n"),
        (7, "for x in 1; do\n    two\ndone\n"),
    ]
    assert next(commands(indented)).bare == "one\n"
    assert list(commands(console)) == [Command("page.md", 12, "three 1\n", ("shown … 2",))]
    assert (python.line, python.file, python.text) == (17, "four.py", "# four.py\nfive()\n")


def test_what_bash_does_not_take_is_told_with_its_place() -> None:
    (block,) = blocks("page.md", "\n    for x in 1\n")
    with pytest.raises(ValueError, match=r"page\.md:2: bash does not take 'for x in 1"):
        list(commands(block))


@pytest.mark.parametrize(
    ("output", "is_shown"),
    [
        ("shown  of 2\nmore\nend\n", True),
        ("shown of 2\nend\n", True),
        ("end\nshown of 2\n", False),
        ("first\nshown 2\nend\n", False),
        ("shown of 3\nend\n", False),
        ("unshown of 2\nend\n", False),
    ],
)
def test_a_console_shows_what_came(output: str, is_shown: bool) -> None:
    command = Command("page.md", 1, "three 1\n", ("shown … 2", "…", "end"))
    assert (differs(command, output) is None) is is_shown


LASTS = 'bash -c "trap exit TERM; echo ready; while :; do sleep 0.02; done" >log & job=$!; note; shows $job log ready;'


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (f"{LASTS} stop; kill -0 $job && exit 5; true", 0),
        (f"{LASTS} stop $job; kill -0 $job; stop", 0),
        ("sleep 60 & note; stop", 143),
        ("bash -c 'exit 7' & note; eventually eval '! kill -0 $!'; stop", 7),
        ("cd nowhere; true", 1),
        ("cd nowhere && true\nnote\ntrue", 1),
        ("touch log; true & shows $! log ready", 1),
    ],
)
def test_a_page_stops_at_what_fails(tmp_path: Path, script: str, code: int) -> None:
    text = f"{PREAMBLE.read_text()}\n{script}"
    ended = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, check=False)  # noqa: S607
    assert ended.returncode == code, ended.stderr


def test_the_table_changes_a_command_and_knows_what_runs_on() -> None:
    text = "python -m edge.classifier --model model.onnx --bootstrap-servers kafka.local:9092\n"
    command = Command("README.md", 1, text)
    assert background(command) is not None
    assert replaced(command) == text.replace("kafka.local:9092", "localhost:{port}")
    assert background(Command("README.md", 1, "python -m edge.query --limit 3\n")) is None
