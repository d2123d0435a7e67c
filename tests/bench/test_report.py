"""The page of results: all that is there is shown and nothing is executed; what changed is said plainly."""

import copy
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hdrh.histogram import HdrHistogram

from bench import result
from bench.report.__main__ import main
from bench.report.compare import compare, text
from bench.report.markdown import written
from bench.result import leaves
from bench.spread import spread

ROWS = [
    {"processes": count, "partitions": count, "images_per_s": spread([900 * count, 1000 * count, 1100 * count])}
    for count in (1, 2)
]
THROUGHPUT = {
    "classifier": ROWS,
    "echo": {"images_per_s": spread([1300, 1500])},
    "ceiling": [{"batch": 64, "images_per_s": spread([40_000, 41_000])}],
    "runs": [{"round": 0, "images_per_s": 900.0}],
}


def document(benchmark: str, results: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    return {**result.document(benchmark, configuration, results), "date": "2026-11-24T12:00:00+00:00", "commit": "abc"}


def latency() -> dict[str, Any]:
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in range(1, 1001):
        histogram.record_value(value * 10)
    system = {
        "latency_ms": {"p50": 5.0, "max": 10.0},
        "stages_ms": {"request hop": {"p50": 1.0}, "inference": {"p50": 0.5}},
        "histogram": histogram.encode().decode(),
        "steps": [{"rate_per_s": 100.0, "latency_ms": {"p50": 1.0, "p99": 2.0}}],
    }
    return document("latency", {"systems": {"classifier": system, "echo": {**system, "stages_ms": {}}}})


class Page(HTMLParser):
    """What a browser would make of a page: tags that are opened and closed, ids, and what it would fetch."""

    VOID = frozenset({"meta", "path", "use", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.fetched: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and value and not value.startswith("#"):
                self.fetched.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def run(tmp_path: Path, *results: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[str, str]:
    """The output and the page of a report on these results."""
    files = []
    for number, one in enumerate(results):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(one))
    output = tmp_path / "report.html"
    ended = CliRunner().invoke(main, [*map(str, files), "-o", str(output), *options])
    assert ended.exit_code == 0, ended.output
    return ended.output, output.read_text(encoding="utf-8")


def test_the_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "png"
    scaling = {
        "over": "batch",
        "axis": "max_batch",
        "title": "--max-batch",
        "measures": {"images_per_s": "images/s", "cpu_s_per_1000": "CPU"},
        "rows": [{"max_batch": n, "series": "", "images_per_s": spread([n, 2 * n])} for n in (1, 8)],
    }
    startup = {"startup": {"first_prediction_s": spread([0.9, 1.1])}}
    results = [
        latency(),
        latency(),  # of one kind: no id may be that of both
        document("throughput", THROUGHPUT),
        document("scaling", scaling),
        document("startup", startup),
    ]
    said, html = run(tmp_path, *results, options=("--png", str(folder)))
    page = Page(html)
    assert page.open == []
    assert page.fetched == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("figure") == page.tags.count("svg") == len(list(folder.glob("*.png"))) == 10
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())
    assert all(word in page.words for word in ("2,000 (1,800 to 2,200)", "abc", "kafka-python", "2026-11-24"))
    assert "#010203" not in html
    assert "currentColor" in html
    assert said.count("PNG: ") == 10


def test_what_is_not_known_is_shown_and_nothing_is_executed(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    evil_peer = {"title": f"{evil} $\\frac{{$", "kind": "peer", "images_per_s": 1.0}
    _, html = run(tmp_path, document("peers", {"systems": [evil_peer]}))
    assert "script" not in Page(html).tags
    results = {"new": [{"name": evil, "deep": {"er": [1, 2]}}], evil: {"x": None}, "empty": [], "note": "y" * 500}
    _, html = run(tmp_path, {**document("unheard of", results, model=evil), "extra": {"key": "seen"}})
    page = Page(html)
    assert "script" not in page.tags
    assert page.words.count(evil) == 3
    assert all(word in page.words for word in ("unheard of", "deep er", "[1, 2]", "empty", "seen", "500 characters"))


def test_of_two_results_of_a_kind_the_older_one_is_held_against_its_own(tmp_path: Path) -> None:
    first, second = (document("throughput", THROUGHPUT, client=client) for client in ("kafka-python", "confluent"))
    path = tmp_path / "old.json"
    path.write_text(json.dumps(second))
    said, _ = run(tmp_path, first, second, options=("--compare", str(path)))
    assert "under the same conditions" in said


def test_a_comparison_says_what_changed_and_what_is_not_the_same(tmp_path: Path) -> None:
    old = document("throughput", THROUGHPUT, requests=1000)
    new = copy.deepcopy(old)
    new["results"]["classifier"][1]["images_per_s"] = spread([3000])
    new["machine"]["cores"] = 64
    new["results"]["added"] = 1
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    said, html = run(tmp_path, new, options=("--compare", str(path)))
    assert "conditions differ (machine)" in said
    assert f"machine.cores: {old['machine']['cores']} → 64" in said
    assert any(line.split() == ["classifier[2].images_per_s", "2,000", "3,000", "1.50"] for line in said.splitlines())
    assert "only in the new one: added" in said
    assert "runs" not in said
    words = Page(html).words
    assert "conditions differ (machine)" in words
    assert "classifier[2].images_per_s" in words
    assert "same conditions" in text(compare(old, old))


def test_items_of_a_list_go_by_what_tells_them_apart() -> None:
    items = [{"app": "a", "processes": 1, "x": 1.0}, {"app": "a", "processes": 2, "x": 2.0}]
    assert dict(leaves(items, "runs"))["runs[a,2].x"] == 2.0
    assert dict(leaves([{"x": 1.0}, {"x": 2.0}]))["[1].x"] == 2.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no JSON"),
        ("[1]", "no result of this bench"),
        ('{"schema": 1}', "'benchmark' is missing"),
        ('{"schema": 1, "benchmark": "throughput", "results": {}, "configuration": {}}', "cannot be drawn"),
        (
            '{"schema": 1, "benchmark": "throughput", "results": {"classifier": [], "echo": {"images_per_s": "x"}, '
            '"ceiling": []}, "configuration": {}}',
            "cannot be drawn",
        ),
        ('{"schema": 2, "benchmark": "x", "results": {}, "configuration": {}}', "schema is not 1"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    ended = CliRunner().invoke(main, [str(path), "-o", str(tmp_path / "report.html")])
    assert ended.exit_code == 65
    assert said in ended.output
    assert "broken.json" in ended.output
    assert not (tmp_path / "report.html").exists()


def test_a_comparison_needs_a_result_of_the_same_kind(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text(json.dumps(document("x", {}, scenario="server")))
    other.write_text(json.dumps(document("x", {}, scenario="offline")))
    options = [str(one), "-o", str(tmp_path / "r.html"), "--compare", str(other)]
    ended = CliRunner().invoke(main, options)
    assert ended.exit_code == 65
    assert "none of the results is one of x" in ended.output


def test_tables_are_written_into_a_document_and_can_be_written_again(tmp_path: Path) -> None:
    text = "before\n<!-- bench:a -->\nold\n<!-- /bench -->\n<!-- bench:b -->\n<!-- /bench -->\nafter\n"
    text += "<!-- bench:a short -->\nold\n<!-- /bench -->\n"
    quix: dict[str, Any] = {
        "title": "Quix",
        "kind": "peer",
        "client": None,
        "notes": [],
        "missing": None,
        "latency_ms": {},
    }
    quix |= {"pooled_ms": {}, "images_per_s": spread([5000]), "lost": 0, "duplicated": 0}
    peers = document("peers", {"systems": [quix], "ceiling": {}, "sender_lag_p99_ms": None})
    for _ in range(2):
        text = written(written(text, "a", peers), "b", latency())
    lines = text.splitlines()
    full, short = "| Quix | - | - | 5,000 | - | - | 0 / 0 |  |", "| Quix | - | - | 5,000 | - |"
    assert [lines.count(line) for line in ("before", "after", full, short)] == [1, 1, 1, 1]
    assert "| classifier | 5 | 10 |" in lines
    assert "old" not in lines
    assert all(word in text for word in ("python -m bench.peers", "Apache Kafka", "commit abc, 2026-11-24"))
    path = tmp_path / "performance.md"
    path.write_text("<!-- bench:0 -->\n<!-- /bench -->\n")
    run(tmp_path, document("unheard of", {"models": [{"name": "int8", "size": 1}]}), options=("--markdown", str(path)))
    assert "| int8 | 1 |" in path.read_text().splitlines()


def test_a_document_without_a_place_for_a_result_is_left_alone(tmp_path: Path) -> None:
    path, one = tmp_path / "performance.md", tmp_path / "one.json"
    path.write_text("nothing here")
    one.write_text(json.dumps(document("x", {})))
    ended = CliRunner().invoke(main, [str(one), "-o", str(tmp_path / "r.html"), "--markdown", str(path)])
    assert ended.exit_code == 65
    assert "<!-- bench:one -->" in ended.output
    assert path.read_text() == "nothing here"


def test_two_files_of_one_name_cannot_both_be_drawn(tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["a/x.json", "b/x.json", "--png", str(tmp_path / "png")])
    assert ended.exit_code == 2
    assert "files of one name" in ended.output
