"""What a cluster says of a topic and of a consumer group, whichever client asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Topic:
    """A topic, or the name of one that is not there.

    leaderless: partitions that nobody leads. in_sync: replicas that are up to date, of the partition with the fewest.
    rights: operations that this user may do to it; None where the broker does not say.
    config: empty where this user may not see it.
    """

    name: str
    is_there: bool
    partitions: int = 0
    leaderless: tuple[int, ...] = ()
    in_sync: int = 0
    rights: frozenset[str] | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A consumer group; `state` is Kafka's word, `protocol` is "consumer" for one of consumers, or empty."""

    name: str
    state: str
    members: int
    protocol: str

    @property
    def is_there(self) -> bool:
        """Whether anybody has ever joined it, as far as the broker remembers."""
        return self.state not in ("", "Dead")
