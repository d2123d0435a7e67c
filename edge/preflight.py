"""What a preflight is made of: what is to be looked at, checks that look, and what each finds."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cluster import Cluster
from edge.errors import ConfigurationError, EdgeError

if TYPE_CHECKING:  # each of these brings libraries that may be what is missing here
    from edge.kafka_inspect import Inspector
    from edge.model import Model
    from edge.topics import Topic


class Status(StrEnum):
    """How a check went; only a failure counts for the exit code."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one check has found and, unless that is well, what to do: one sentence. `exit_code` is a failure's."""

    check: str
    status: Status
    message: str
    exit_code: int = 0


@dataclass(frozen=True)
class Check:
    """`look`, as module:function, takes a Preflight and returns findings; `needs` are checks that must have passed."""

    name: str
    look: str
    needs: Sequence[str] = ()


@dataclass
class Preflight:
    """What the doctor is asked to look at; the last fields are what checks leave for those after them."""

    cluster: Cluster
    apps: Sequence[str]
    topics: dict[str, str]
    """The names of the topics, by `request`, `prediction` and `dead letter`."""
    group: str | None = None
    model_path: Path | None = None
    contract_path: Path | None = None
    model_sha256: str | None = None
    spool: Path | None = None
    min_free_mb: int = 100
    own_topic: str = "edge_doctor"

    model: "Model | None" = None
    found_topics: "dict[str, Topic]" = field(default_factory=dict)
    broker_ahead_s: tuple[float, float] | None = None
    """Between which two the broker's clock is ahead of this one."""
    _inspector: "Inspector | None" = field(default=None, init=False, repr=False)

    @property
    def inspector(self) -> "Inspector":
        """Connected to the cluster by the first check that asks; raises EdgeError as `inspect` does."""
        if self._inspector is None:
            from edge.kafka_inspect import inspect  # noqa: PLC0415

            self._inspector = inspect(self.cluster)
        return self._inspector

    def close(self) -> None:
        """Give up the connection, if there is one."""
        if self._inspector is not None:
            self._inspector.close()
            self._inspector = None

    @property
    def groups(self) -> list[str]:
        """The consumer groups of the apps that run here: each app's own name, unless one is given."""
        return [self.group or f"edge.{app}" for app in self.apps if app != "query"]


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, message)


def warning(check: str, message: str) -> Finding:
    """The apps work, and somebody should know."""
    return Finding(check, Status.WARNING, message)


def failure(check: str, error: EdgeError) -> Finding:
    """The apps would not work: what they would say, and the code that they would exit with."""
    return Finding(check, Status.FAILURE, error.message, error.exit_code)


def skipped(check: str, reason: str) -> Finding:
    """Nobody has looked."""
    return Finding(check, Status.SKIPPED, f"skipped, because {reason}")


def examine(preflight: Preflight, checks: Sequence[Check]) -> Iterator[Finding]:
    """Look at one thing after another; what depends on something that failed is skipped with that reason."""
    reasons: dict[str, str] = {}
    with closing(preflight):
        for check in checks:
            reason = next((reasons[need] for need in check.needs if need in reasons), None)
            found = iter((skipped(check.name, reason),)) if reason is not None else _look(check, preflight)
            for finding in found:
                if finding.status is Status.FAILURE:
                    reasons[finding.check] = f"the check of {finding.check} failed"
                elif finding.status is Status.SKIPPED:
                    reasons.setdefault(finding.check, finding.message.removeprefix("skipped, because "))
                yield finding


def _look(check: Check, preflight: Preflight) -> Iterator[Finding]:
    module, _, function = check.look.partition(":")
    try:
        # Only now: a check may need a library that is missing here, which must not hide what the others find.
        yield from getattr(importlib.import_module(module), function)(preflight)
    except ImportError as error:
        yield skipped(check.name, f"a package that it needs cannot be imported ({error})")
    except EdgeError as error:
        yield failure(check.name, error)
    except OSError as error:
        yield failure(check.name, ConfigurationError(f"it cannot be looked at ({error}): is this the right user?"))
