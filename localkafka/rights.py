"""Users and access control lists of a secure broker, set on its administrator's listener."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from localkafka.errors import BrokerError
from localkafka.security import ADMINISTRATOR, Security

if TYPE_CHECKING:
    from kafka.admin import ACL, KafkaAdminClient

TIMEOUT_S = 20
ANY = "*"

# What the apps need, and no more: resource type, name, operations.
APP_RIGHTS = (
    ("TOPIC", ANY, ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE")),
    ("GROUP", ANY, ("DESCRIBE", "READ")),
    ("TRANSACTIONAL_ID", ANY, ("DESCRIBE", "WRITE")),
    ("CLUSTER", "kafka-cluster", ("IDEMPOTENT_WRITE",)),
)
ANONYMOUS_RIGHTS = (
    ("TOPIC", ANY, ("ALL",)),
    ("GROUP", ANY, ("ALL",)),
    ("TRANSACTIONAL_ID", ANY, ("ALL",)),
    ("CLUSTER", "kafka-cluster", ("DESCRIBE", "IDEMPOTENT_WRITE")),
)


def set_up(servers: str, security: Security) -> None:
    """Give the users their passwords, and the first of them and ANONYMOUS their rights."""
    with _administrator(servers, security) as admin:
        if security.sasl:
            _set_passwords(admin, security.users)
        # After the passwords: the broker takes both from one log, so it knows the passwords when it knows the rights.
        _add(
            admin,
            [
                rule
                for user, rights in ((security.user, APP_RIGHTS), ("ANONYMOUS", ANONYMOUS_RIGHTS))
                for resource_type, name, operations in rights
                for rule in rules(user, resource_type, name, operations)
            ],
        )


def add(servers: str, security: Security, added: "list[ACL]") -> None:
    """Add rules, and return when they are in force."""
    with _administrator(servers, security) as admin:
        _add(admin, added)


def remove(servers: str, security: Security, removed: "list[ACL]") -> None:
    """Remove rules, and return when they are no longer in force."""
    with _administrator(servers, security) as admin:
        _check(error for _, _, error in admin.delete_acls(removed) if error.errno)
        _wait_until(admin, removed, there=False)


def rules(user: str, resource_type: str, name: str, operations: Iterable[str], *, allow: bool = True) -> "list[ACL]":
    """One rule for each operation; a rule that denies beats those that allow."""
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType  # noqa: PLC0415

    permission = ACLPermissionType.ALLOW if allow else ACLPermissionType.DENY
    pattern = ResourcePattern(ResourceType[resource_type], name)
    return [ACL(f"User:{user}", "*", ACLOperation[operation], permission, pattern) for operation in operations]


def _administrator(servers: str, security: Security) -> "KafkaAdminClient":
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 a plain broker does without

    return KafkaAdminClient(
        bootstrap_servers=servers,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username=ADMINISTRATOR,
        sasl_plain_password=security.administrator_password,
    )


def _set_passwords(admin: "KafkaAdminClient", users: Mapping[str, str]) -> None:
    from kafka.admin import ScramMechanism, UserScramCredentialUpsertion  # noqa: PLC0415

    # Kafka takes one change of a user in a request.
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        passwords = [UserScramCredentialUpsertion(name, mechanism, password) for name, password in users.items()]
        _check(error for error in admin.alter_user_scram_credentials(passwords).values() if error)


def _add(admin: "KafkaAdminClient", added: "list[ACL]") -> None:
    _check(admin.create_acls(added)["failed"])
    _wait_until(admin, added, there=True)


def _wait_until(admin: "KafkaAdminClient", wanted: "list[ACL]", *, there: bool) -> None:
    """The controller answers first; the broker, which is asked here, applies the change a moment later."""
    deadline = time.monotonic() + TIMEOUT_S
    while any((rule in _in_force(admin)) != there for rule in wanted):
        if time.monotonic() > deadline:
            raise BrokerError(f"Apache Kafka did not apply the rights {wanted} within {TIMEOUT_S} s")
        time.sleep(0.01)


def _in_force(admin: "KafkaAdminClient") -> "set[ACL]":
    from kafka import admin as kinds  # noqa: PLC0415

    pattern = kinds.ResourcePatternFilter(kinds.ResourceType.ANY, None, kinds.ACLResourcePatternType.ANY)
    everything = kinds.ACLFilter(None, None, kinds.ACLOperation.ANY, kinds.ACLPermissionType.ANY, pattern)
    found, error = admin.describe_acls(everything)
    _check([error] if error.errno else [])
    return set(found)


def _check(failures: Iterable[object]) -> None:
    """Raises BrokerError that tells the first failure."""
    for failure in failures:
        raise BrokerError(f"Apache Kafka refused to set users or rights: {failure}")
