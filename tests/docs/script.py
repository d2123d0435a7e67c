"""From the blocks of a page to the one bash script that runs them, with what the table of `reviewed` changes."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs import reviewed
from tests.docs.entries import Background
from tests.docs.pages import COMMANDS, CONSOLE, Block, Command, commands

PREAMBLE = Path(__file__).with_name("page.sh")
FILES = ("python", "toml", "yaml", "json")


@dataclass
class Script:
    """The script of one page. `folder` is where outputs go, `port` the broker's, `metrics` one more that is free."""

    page: str
    port: int
    metrics: int
    folder: Path
    lines: list[str] = field(default_factory=list)
    consoles: list[tuple[Command, Path]] = field(default_factory=list)

    def build(self, blocks: Sequence[Block]) -> str:
        """The text for `bash`."""
        environment = reviewed.environment(self.page)
        self.lines = [PREAMBLE.read_text(), f"at {self.page}:0", f". .venv-{environment}/bin/activate"]
        runs = [block for block in blocks if block.language in (COMMANDS, CONSOLE)]
        if not any(reviewed.is_broker(command) for block in runs for command in commands(block)):
            self._run(Command(self.page, 0, "python -m localkafka\n"), [])
        for block in blocks:
            self._add(block)
        self.lines += [f"at {self.page}:end", "stop"]
        return "\n".join(self.lines) + "\n"

    def _add(self, block: Block) -> None:
        self.lines.append(f"at {block.place}")
        if block.language in FILES:
            self._write(block)
        if block.language in (COMMANDS, CONSOLE):
            awaited: list[str] = []
            for command in commands(block):
                self._run(command, awaited)
            self.lines += [*awaited, "stop $kept"]

    def _write(self, block: Block) -> None:
        if block.language != "python" and block.file is None:
            return
        path = block.file or str(self.folder / f"{block.line}.py")
        text = reviewed.replaced(Command(block.page, block.line, block.text))
        self.lines += [f"cat >{shlex.quote(path)} <<'END OF BLOCK'\n{self._here(text)}END OF BLOCK"]
        if block.language == "python":
            # The working directory comes first, as for a file that lies there.
            self.lines += [f"PYTHONPATH=. python {shlex.quote(path)}"]

    def _run(self, command: Command, awaited: list[str]) -> None:
        if reviewed.reason_not_to_run(command):
            return
        self.lines.append(f"PLACE={command.place}")
        for text in reviewed.given(command):
            self.lines += [self._here(text), "note"]
        text, log = self._here(reviewed.replaced(command)), self.folder / f"{command.line}.log"
        entry = reviewed.background(command)
        if entry is not None:
            self.lines += _background(text, log, command.line, entry)
            self.lines += [f"broker=$job_{command.line}"] if reviewed.is_broker(command) else []
            if entry.shows:
                awaited += [f"shows $job_{command.line} {log} {shlex.quote(entry.shows)}"]
        elif command.shows:
            self.consoles.append((command, log))
            self.lines += [f"{{ {text}}} >{log} 2>&1"]
        else:
            self.lines += [text, "note"]

    def _here(self, text: str) -> str:
        return text.replace("{port}", str(self.port)).replace("{metrics}", str(self.metrics))


def _background(text: str, log: Path, line: int, entry: Background) -> Iterator[str]:
    # What is in the background has to be the command itself, not a shell around it: it gets the signal.
    yield f"{{ {'' if 'exec ' in text else 'exec env '}{text}}} >{log} 2>&1 &"
    yield f"job_{line}=$!; note"
    if entry.ready:
        yield f"shows $job_{line} {log} {shlex.quote(entry.ready)}"
    if entry.until_end_of_page:
        yield f'kept="$kept $job_{line}"'


def differs(command: Command, output: str) -> str | None:
    """What a console's output lacks of what the page shows, where `…` stands for anything; None for nothing."""
    position = 0
    for line in command.shows:
        words = [r"\S*".join(map(re.escape, word.split("…"))) for word in line.split()]
        found = re.compile("^" + "[ \t]+".join(words) + "$", re.MULTILINE).search(output, position)
        if line == "…":
            continue
        if found is None:
            return f"{command.place}: the output lacks {line!r}:\n{output}"
        position = found.end()
    return None
