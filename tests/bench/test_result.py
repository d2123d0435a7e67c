"""What every benchmark writes, and what is said when it cannot."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bench import result
from bench.latency.__main__ import main as latency
from bench.peers.__main__ import main as peers
from edge.errors import BadDataError
from edge.images import Images


def test_a_result_that_cannot_be_written_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadDataError, match=r"/dev/full cannot be written \(No space left on device\)"):
        result.write(Path("/dev/full"), {"results": {"a": 1}})
    assert json.loads(capsys.readouterr().out) == {"results": {"a": 1}}


@pytest.mark.parametrize("command", [latency, peers])
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    command: click.Command, samples: Images, tmp_path: Path
) -> None:
    small = tmp_path / "small.npz"
    np.savez(small, image=samples.image[:, :14])
    for options, words in (
        (["--images", str(small)], "the images have 392 bytes, the model takes 784"),
        (["--output", str(tmp_path / "none" / "a.json")], "there is no folder"),
        (["--output", "/proc/a.json"], "/proc/a.json cannot be written ("),
    ):
        ended = CliRunner().invoke(command, options)
        assert ended.exit_code != 0
        assert words in ended.output
