"""The units on a real systemd, installed from the bundle as the docs say: they serve, restart, and end cleanly."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cluster import Cluster
from edge.codec import REQUEST_ID, decode_prediction, header
from edge.security import Secret, Security
from localkafka import LocalKafka
from tests.deploy.device import Device, booted, obstacle, python_for_units
from tests.paths import IMAGES
from tests.system.processes import wait_until

PASSWORD = secrets.token_hex(9)
CONFIGURATION = "/etc/onnx-kafka-edge"
CLASSIFIER, QUERY = "edge-classifier@1", "edge-query@camera-1"
ENDED = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(bool(obstacle()), reason=f"no systemd can be booted: {obstacle()}"),
]


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalKafka]:
    """A Kafka that asks for TLS and a password."""
    with LocalKafka(tls=True, sasl=True, users={"edge": PASSWORD}) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def cluster(broker: LocalKafka) -> Cluster:
    security = Security("SASL_SSL", broker.directory / "client" / "ca.pem", username="edge", password=Secret(PASSWORD))
    return Cluster(broker.bootstrap_servers, security=security)


@pytest.fixture(scope="module")
def device(unpacked: Path, broker: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A device on which all is installed and configured, and nothing is started."""
    with booted(tmp_path_factory.mktemp("device"), unpacked) as device:
        directories = ("/opt/onnx-kafka-edge", "/etc/systemd/system")
        device.must("sh", "/srv/bundle/install.sh", *directories, PYTHON=python_for_units())
        device.must("install", "-D", "-m", "644", "/dev/stdin", "/srv/images/shown.npz", given=IMAGES.read_bytes())
        device.write(f"{CONFIGURATION}/ca.pem", (broker.directory / "client" / "ca.pem").read_text())
        variables = {
            "BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "TLS_CA": f"{CONFIGURATION}/ca.pem",
            "SASL_USERNAME": "edge",
            "IMAGES": "/srv/images/shown.npz",
            "INTERVAL": "0.02",
        }
        device.write(f"{CONFIGURATION}/edge.env", "".join(f"EDGE_{key}={value}\n" for key, value in variables.items()))
        device.write(f"{CONFIGURATION}/sasl-password", f"{PASSWORD}\n", 0o600)
        for app in ("classifier", "query"):
            drop_in = "/opt/onnx-kafka-edge/current/units/credentials/sasl.conf"
            device.must("install", "-D", drop_in, f"/etc/systemd/system/edge-{app}@.service.d/sasl.conf")
        device.must("systemctl", "daemon-reload")
        yield device


def ids(cluster: Cluster, topic: str) -> list[str]:
    """The ids of all requests, or of all predictions."""
    with cluster.connect() as pubsub:
        records = list(pubsub.client.scan(topic))
    if topic == "prediction_output":
        return [decode_prediction(record).id for record in records]
    return [str(header(record, REQUEST_ID)) for record in records]


def wait_for_more(cluster: Cluster, count: int = 50) -> None:
    """Wait for so many more predictions."""
    before = len(ids(cluster, "prediction_output"))
    wait_until(lambda: len(ids(cluster, "prediction_output")) >= before + count, f"{count} more predictions")


def test_the_units_serve_restart_and_end_cleanly_and_lose_nothing(device: Device, cluster: Cluster) -> None:
    with cluster.connect() as pubsub:
        for topic in ("prediction_request", "prediction_output", "prediction_dead_letter"):
            pubsub.create_topic(topic)
    device.must("systemctl", "enable", "--now", CLASSIFIER, QUERY)
    wait_for_more(cluster)
    first = device.properties(CLASSIFIER, "MainPID")["MainPID"]

    device.must("systemctl", "restart", CLASSIFIER)
    wait_for_more(cluster)
    second = device.properties(CLASSIFIER, "MainPID")["MainPID"]
    assert second not in (first, "0")

    device.must("systemctl", "kill", "--signal=KILL", CLASSIFIER)
    wait_until(lambda: device.properties(CLASSIFIER, "NRestarts")["NRestarts"] == "1", "the unit's next start")
    wait_for_more(cluster)

    device.must("systemctl", "stop", QUERY)
    requests = ids(cluster, "prediction_request")
    wait_until(lambda: set(ids(cluster, "prediction_output")) == set(requests), "an answer to each request")
    device.must("systemctl", "stop", CLASSIFIER)
    for unit in (CLASSIFIER, QUERY):
        assert device.properties(unit, *ENDED) == ENDED, device.log(unit)
        assert "Traceback" not in device.log(unit)
    assert len(requests) == len(set(requests))
    assert ids(cluster, "prediction_dead_letter") == []
    assert device.log(CLASSIFIER).count("stopped: ") == 2
    assert "in the spool" in device.log(QUERY)


def test_an_app_has_its_password_and_nobody_else_does(device: Device) -> None:
    device.must("systemctl", "start", QUERY)
    spool = ("ls", "/var/lib/private/edge-query/camera-1/spool.sqlite")
    wait_until(lambda: device.run(*spool).returncode == 0, "its spool")
    process = device.properties(QUERY, "MainPID")["MainPID"]
    environment = device.must("cat", f"/proc/{process}/environ")
    variables = dict(line.split("=", 1) for line in environment.split("\0") if line)
    credential = f"/run/credentials/{QUERY}.service/sasl-password"
    assert variables["EDGE_SASL_PASSWORD_FILE"] == credential
    assert PASSWORD not in environment
    assert PASSWORD not in device.must("cat", f"/proc/{process}/cmdline")
    user = int(device.must("stat", "--format=%u", f"/proc/{process}"))
    assert 61184 <= user <= 65519
    assert device.run("setpriv", f"--reuid={user}", "--clear-groups", "cat", credential).stdout == f"{PASSWORD}\n"
    assert device.run("setpriv", "--reuid=65534", "--clear-groups", "cat", credential).returncode != 0
    device.must("systemctl", "stop", QUERY)


def test_what_only_a_person_can_mend_is_not_started_again(device: Device) -> None:
    device.write(f"{CONFIGURATION}/classifier-2.env", "EDGE_MODEL=/srv/none.onnx\n")
    device.must("systemctl", "start", "edge-classifier@2")
    state = {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78", "NRestarts": "0"}
    wait_until(lambda: device.properties("edge-classifier@2", "ActiveState")["ActiveState"] == "failed", "its end")
    assert device.properties("edge-classifier@2", *state) == state
    assert "there is no model file /srv/none.onnx" in device.log("edge-classifier@2")


def test_a_python_that_units_cannot_see_is_refused(device: Device) -> None:
    device.must("cp", python_for_units(), "/root/python")
    directories = ("/opt/other", "/etc/systemd/system")
    refused = device.run("sh", "/srv/bundle/install.sh", *directories, PYTHON="/root/python")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "/root/python is /root/python, and units see nothing in anybody's home: install a Python" in refused.stderr
    assert device.run("ls", "/opt/other").returncode != 0
