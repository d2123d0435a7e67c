"""The scenario `offline`: all requests are there before a system starts; timed by the broker's clock."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import click

from bench.apps import App
from bench.latency.conditions import Conditions
from bench.load import drain
from bench.load.driver import START_TIMEOUT_S, Topics
from bench.load.trace import request_id
from bench.systems import System
from edge.cluster import Cluster
from edge.images import Images

_SLOWEST_PER_S = 20.0


def measure(cluster: Cluster, systems: Sequence[System], images: Images, conditions: Conditions) -> dict[str, Any]:
    """Rounds in which each system, started anew, reads the same requests."""
    run = uuid.uuid4().hex[:8]
    requests = f"bench_request_{run}"
    rounds: dict[str, list[dict[str, Any]]] = {system.name: [] for system in systems}
    for number in range(conditions.rounds):
        first = number % len(systems)
        for system in (*systems[first:], *systems[:first]):
            topics = Topics(requests, f"bench_prediction_{run}_{system.name}_{number}")
            drain.create_topics(cluster, topics.requests, topics.predictions, 1)
            if not any(rounds.values()):
                click.echo(f"writing {conditions.requests:,} requests …", err=True)
                drain.preload(cluster, requests, [image.tobytes() for image in images.image], conditions.requests)
            click.echo(f"round {number + 1} of {conditions.rounds}: {system.name} …", err=True)
            rounds[system.name].append(_drain(cluster, system, topics, conditions.requests))
    found = {name: _together(each) for name, each in rounds.items()}
    return {"ratio_to_echo": _ratio(found), "systems": found}


def _drain(cluster: Cluster, system: System, topics: Topics, requests: int) -> dict[str, Any]:
    command = system.command(topics, topics.predictions)
    with drain.Finish(cluster, topics.predictions) as finish, App(cluster, system.module, *command) as app:
        timeout_s = START_TIMEOUT_S + requests / _SLOWEST_PER_S
        drained = drain.drained(finish, requests, timeout_s, app.check, request_id)
    return {**asdict(drained), "lost": drained.lost}


def _together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {name: sum(each[name] for each in rounds) for name in ("requests", "answered", "lost", "duplicated")}
    return {**sums, "images_per_s": median(each["images_per_s"] for each in rounds), "rounds": rounds}


def _ratio(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    if "echo" not in found or not found["echo"]["images_per_s"]:
        return {}
    return {"images_per_s": round(found["classifier"]["images_per_s"] / found["echo"]["images_per_s"], 3)}
