"""Brokers to harm: killed, stopped, with a full disk, or reached through a proxy."""

import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator

from confluent_kafka.admin import AdminClient

from localkafka import BrokerError, LocalKafka
from tests.faults.proxy import HOST, Proxy

CAN_FILL_DISK = hasattr(resource, "prlimit")
"""Only Linux lets one process limit another."""

HALT_S, ADMIN_S = 60.0, 30.0
PROBE_S = 0.002


class Cluster:
    """One broker with a second listener, whose advertised port is a proxy's; or three brokers without a proxy.

    One fault of the brokers at a time: `lock` is held from its start to its end.
    """

    def __init__(self, nodes: int = 1) -> None:
        self.lock = threading.Lock()
        self.kafka = LocalKafka(nodes=nodes)
        self._proxy: Proxy | None = None
        if nodes == 1:
            port, proxied, controller, proxy = _free_ports(4)
            self.kafka = LocalKafka(port=port, properties=_two_listeners(port, proxied, controller, proxy))
            self._proxy = Proxy(proxy, proxied)

    def __enter__(self) -> "Cluster":
        self.kafka.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._proxy is not None:
            self._proxy.close()
        self.kafka.close()

    @property
    def servers(self) -> str:
        """The brokers themselves."""
        return self.kafka.bootstrap_servers

    @property
    def proxy(self) -> Proxy:
        """What stands between the classifiers and the broker; raises ValueError where there are several."""
        if self._proxy is None:
            raise ValueError("faults of the network need a single broker: leave --nodes out")
        return self._proxy

    @property
    def proxied_servers(self) -> str:
        """The broker behind the proxy."""
        return f"{HOST}:{self.proxy.port}"

    def start(self) -> int:
        """Start the (first) broker again; returns when its port opened, in nanoseconds since 1970."""
        opened: list[int] = []
        watcher = threading.Thread(target=self._watch_port, args=(opened,), daemon=True)
        watcher.start()
        self.kafka.start()
        watcher.join()
        return opened[0]

    def leader(self, topic: str) -> int:
        """The node that leads the first partition of a topic."""
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        return int(admin.list_topics(topic, ADMIN_S).topics[topic].partitions[0].leader)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP all brokers for as long as the context."""
        self.kafka.pause()
        try:
            yield
        finally:
            self.kafka.resume()

    def fill_disk(self) -> None:
        """Let no file of the broker grow any more, as on a full disk, and wait until it halts for that.

        A limit on the size of files needs neither root nor a disk; for Kafka it is the same I/O error.
        """
        pid = self.kafka.pid
        assert pid is not None
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
        halt = threading.Thread(target=self._wait_for_the_end, daemon=True)
        halt.start()
        halt.join(HALT_S)
        assert not halt.is_alive(), f"the broker did not halt within {HALT_S:.0f} s of its disk being full"
        self.kafka.kill(1)

    def _wait_for_the_end(self) -> None:
        with contextlib.suppress(BrokerError):
            self.kafka.wait()

    def _watch_port(self, opened: list[int]) -> None:
        while not opened:
            try:
                socket.create_connection((HOST, self.kafka.port)).close()
            except OSError:
                time.sleep(PROBE_S)
            else:
                opened.append(time.time_ns())


def _two_listeners(port: int, proxied: int, controller: int, proxy: int) -> dict[str, str]:
    listeners = f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:"
    return {
        "listeners": f"{listeners}{proxied},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"{listeners}{proxy}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "inter.broker.listener.name": "PLAINTEXT",
    }


def _free_ports(count: int) -> list[int]:
    """Ports below those that systems give to outgoing connections, as `localkafka` takes them."""
    ports: list[int] = []
    first = 15_000 + os.getpid() % 4_000
    for port in range(first, first + 1000):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError("no free ports")
