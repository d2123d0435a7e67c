"""Each page is read as a newcomer reads it: all its commands, in order, in a fresh checkout, over a real Kafka."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from localkafka.ports import free_port
from tests.docs.checkout import clone
from tests.docs.pages import COMMANDS, CONSOLE, blocks, pages
from tests.docs.script import Script, differs
from tests.paths import ROOT

DEADLINE_S = 1800.0
LAST_LINES = 80
BLOCKS = {page: list(blocks(page, (ROOT / page).read_text())) for page in pages()}
RUN = [page for page, found in BLOCKS.items() if {block.language for block in found} & {COMMANDS, CONSOLE, "python"}]


@pytest.mark.kafka
@pytest.mark.parametrize("page", RUN)
def test_page(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    script = Script(page, free_port(), free_port(), folder)
    text = script.build(BLOCKS[page])
    (tmp_path / "page.sh").write_text(text)
    code = run(clone(tmp_path / "onnx-kafka-edge"), tmp_path / "page.sh", script.port)
    assert code == 0, last_lines(tmp_path)
    found = [differs(command, log.read_text()) for command, log in script.consoles]
    assert not any(found), "\n".join(filter(None, found))


def run(checkout: Path, script: Path, port: int) -> int:
    """The exit code of a page's script; whatever it has started is gone afterwards."""
    environment = {**os.environ, "EDGE_BOOTSTRAP_SERVERS": f"localhost:{port}", "EPOCHS": "1"}
    with script.with_name("page.log").open("wb") as log:
        shell = subprocess.Popen(
            ["bash", str(script)],  # noqa: S607
            cwd=checkout, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            return shell.wait(DEADLINE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


def last_lines(folder: Path) -> str:
    """The end of each output."""
    logs = [*sorted((folder / "out").glob("*.log")), folder / "page.log"]
    ends = ["\n".join(path.read_text(errors="replace").splitlines()[-LAST_LINES:]) for path in logs]
    return "\n".join(f"--- {path.name}\n{end}" for path, end in zip(logs, ends, strict=True))
