"""`make test-all`: a part that fails stops none behind it, and the table keeps what was not run again."""

import re
from pathlib import Path

from click.testing import CliRunner

from tests.all import BEGIN, DOCUMENT, END, Row, main, run, run_all, updated

ROW = Row("docs", "make test-docs", 0, 3.21, "0123456789ab", "2026-11-26")


def test_a_part_that_fails_stops_none_behind_it(tmp_path: Path) -> None:
    document = tmp_path / "testing.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nbehind\n")
    rows = run_all({"spool": "false", "swap": "true"}, document)
    assert [(row.name, row.code) for row in rows] == [("spool", 1), ("swap", 0)]
    written = document.read_text()
    assert re.search(
        r"\| spool \| `false` \| \*\*failed\*\* \(1\) \| 0\.0 \| .* \|\n\| swap \| `true` \| passed", written
    )
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nbehind\n")


def test_a_row_takes_the_place_of_its_last_one() -> None:
    text = updated(f"{BEGIN}\n{END}", [ROW, Row("test", "make test", 2, 9, "c", "d")], "versions")
    again = updated(text, [Row("docs", "make test-docs", 1, 4, "c", "d")], "others")
    assert [line for line in again.splitlines() if line.startswith("| ")][1:] == [
        "| test | `make test` | **failed** (2) | 9.0 | c | d |",
        "| docs | `make test-docs` | **failed** (1) | 4.0 | c | d |",
    ]
    assert "versions" not in again


def test_python_is_the_one_that_runs_the_parts() -> None:
    assert run("spool", "python -c raise(SystemExit(7))") == 7


def test_the_page_has_its_table() -> None:
    text = DOCUMENT.read_text()
    assert updated(text, [], "") != text
    assert 0 < text.index(BEGIN) < text.index(END)


def test_a_part_that_there_is_not() -> None:
    ended = CliRunner().invoke(main, ["--only", "everything"])
    assert ended.exit_code == 2
    assert "'everything' is not one of 'test', 'docs'" in ended.output
