"""`make help` lists every command."""

import re
import shutil
import subprocess

from tests.paths import ROOT


def test_every_target_has_a_line_that_says_what_it_is_for() -> None:
    said = subprocess.run(
        [shutil.which("make") or "", "--silent", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert list(lines) == [name for names in targets for name in names.split()]
    assert all(len(text) > 10 for text in lines.values())
