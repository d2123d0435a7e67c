import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from bench.recording import MARGIN, Painter, main, record

PRINTS_TWO_PIXELS = r"print('\x1b[38;2;200;100;0m\x1b[48;2;0;0;200m▀\x1b[0m hello')"


def test_a_recording_holds_what_the_command_showed_while_it_ran() -> None:
    waits = "import time; print('first', flush=True); time.sleep(0.3); print('second')"
    frames, status = record([sys.executable, "-c", waits], columns=20, rows=4)
    texts = [["".join(char.data for char in line).rstrip() for line in frame.screen] for frame in frames]
    assert texts[0] == ["first", "", "", ""]
    assert texts[-1] == ["first", "second", "", ""]
    assert 0.2 < frames[0].seconds <= 1
    assert status == 0


def test_a_half_block_becomes_two_pixels_of_its_colours() -> None:
    frames, _ = record([sys.executable, "-c", PRINTS_TWO_PIXELS], columns=20, rows=4)
    painter = Painter()
    picture = painter.paint(frames[-1].screen)
    assert picture.getpixel((MARGIN, MARGIN)) == (200, 100, 0)
    assert picture.getpixel((MARGIN, MARGIN + painter.height - 1)) == (0, 0, 200)


def test_the_command_writes_a_picture_that_moves(tmp_path: Path) -> None:
    path = tmp_path / "recording.gif"
    counts = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.2)"
    result = CliRunner().invoke(main, ["-o", str(path), "--", sys.executable, "-c", counts])
    assert result.exit_code == 0, result.output
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) >= 3


def test_nothing_is_written_for_a_command_that_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recording.gif"
    result = CliRunner().invoke(main, ["-o", str(path), "--", sys.executable, "-c", "raise SystemExit(3)"])
    assert result.exit_code != 0
    assert "ended with 3" in capsys.readouterr().err + result.output
    assert not path.exists()
