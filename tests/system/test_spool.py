"""Query apps over real brokers: killed with a spool, without a broker, on a full disk; and with image files."""

import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.images import Images
from tests.faults.spool import Plan, run
from tests.paths import LENET
from tests.recorder import read_all
from tests.system.processes import Process, wait_until
from tests.system.wire import Wire

pytestmark = pytest.mark.kafka


def test_what_was_accepted_arrives_in_order_although_apps_are_killed_and_the_broker_is_away(tmp_path: Path) -> None:
    for verdict in run(Plan(images=600, kills=4, outages=1), tmp_path):
        assert verdict.is_good, str(verdict)
        assert verdict.device.killed == 4
        assert len(verdict.device.accepted) >= 600


def test_a_full_disk_is_told_sensing_goes_on_and_what_was_accepted_arrives(wire: Wire, tmp_path: Path) -> None:
    options = [
        "--bootstrap-servers", wire.servers, "--request-topic", wire.requests, "--spool", str(tmp_path),
        "--print-ids", "--interval", "0.005",
    ]  # fmt: skip
    with Process("edge.query", *options) as app:
        wait_until(lambda: len(app.lines) > 20, "the first images")
        # No file may grow any more: the same error as that of a full disk.
        resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
        wait_until(lambda: "not accepted: " in app.log, "the line about the disk")
        assert app.process.poll() is None
        with Process("edge.query", *options) as other:
            assert other.end() == 78
            assert "another process uses the spool" in other.errors[-1]
        resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        before = len(app.lines)
        wait_until(lambda: len(app.lines) > before + 20, "further images")
        assert app.terminate() == 0
    arrived = [dict(record.headers)["request-id"] or b"" for record in read_all(wire.servers, wire.requests)]
    assert "Traceback" not in app.log
    summary = app.errors[-1]
    left = int(summary.split()[-5])
    refused = int(summary.split(" stored, ")[1].split()[0])
    assert refused > 0
    # What is left in the spool when it is stopped goes out after the next start.
    assert app.lines[: len(app.lines) - left] == [name.decode() for name in dict.fromkeys(arrived)]


def test_files_that_appear_are_sent_as_pixels_in_order_and_moved(wire: Wire, samples: Images, tmp_path: Path) -> None:
    options = ["--bootstrap-servers", wire.servers, "--request-topic", wire.requests, "--contract", str(LENET)]
    shown = samples.image[:12].reshape(-1, 28, 28)
    with Process("edge.query", *options, "--images", str(tmp_path), "--device", "cam", "--limit", "12") as app:
        wait_until(lambda: "watching" in app.log, "the first look")
        for number, pixels in enumerate(shown):
            # As large as a camera's, in colour, and put there in one step.
            large = np.repeat(np.repeat(np.stack([pixels] * 3, axis=-1), 4, axis=0), 4, axis=1)
            Image.fromarray(large).save(tmp_path / f".{number}.png")
            (tmp_path / f".{number}.png").rename(tmp_path / f"{number}.png")
        assert app.end() == 0
    assert app.lines == ["12 images sent and acknowledged"]
    records = read_all(wire.servers, wire.requests)
    arrived = np.stack([np.frombuffer(record.value or b"", np.uint8).reshape(28, 28) for record in records])
    # Averaged with what is around them.
    assert np.abs(arrived.astype(int) - shown).mean() < 12
    assert {record.key for record in records} == {b"cam"}
    assert sorted(path.name for path in (tmp_path / "sent").iterdir()) == sorted(f"{n}.png" for n in range(12))
