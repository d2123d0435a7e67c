"""Certificates for tests: authorities, servers, clients, as PEM files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, and is a PEM file to trust."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._ca = trustme.CA()
        self.pem = folder / f"{name}.ca.pem"
        self._ca.cert_pem.write_to_path(self.pem)

    def sign(
        self, hosts: Sequence[str], not_after: datetime | None = None, not_before: datetime | None = None
    ) -> Identity:
        """A new identity for some hosts."""
        leaf = self._ca.issue_cert(*hosts, not_after=not_after, not_before=not_before)
        stem = f"{self._name}.{len(list(self._folder.iterdir()))}"
        identity = Identity(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        leaf.private_key_pem.write_to_path(identity.key)
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(identity.certificate, append=True)
        return identity


def encrypt(key: Path, password: str) -> Path:
    """A copy of a private key that only the password opens."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    encrypted = key.with_suffix(".encrypted")
    encrypted.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
    )
    return encrypted
