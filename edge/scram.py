"""The client's side of SCRAM (RFC 5802, RFC 7677): proves a password without sending it, checks the server's proof."""

import base64
import hashlib
import hmac
import secrets

HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
# RFC 7677 asks for at least 4096; the upper bound is that of kafka-python.
MIN_ITERATIONS, MAX_ITERATIONS = 4_096, 1_000_000


class ScramError(Exception):
    """The server does not keep to the protocol, or does not know the password."""


class Scram:
    """One exchange: `first`, then `final` of the server's first answer, then `verify` of its last."""

    def __init__(self, mechanism: str, name: str, password: str) -> None:
        self._hash = HASHES[mechanism]
        self._password = password.encode()
        self._nonce = secrets.token_hex(16)
        self._bare = f"n={name},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """What the client says first."""
        return f"n,,{self._bare}".encode()

    def final(self, answer: bytes) -> bytes:
        """The proof that the client knows the password."""
        fields = _fields(answer)
        nonce, count = fields.get("r", ""), fields.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("its nonce does not continue ours")
        if not (count.isascii() and count.isdecimal() and len(count) <= 7):
            raise ScramError("its number of iterations is no number")
        if not MIN_ITERATIONS <= int(count) <= MAX_ITERATIONS:
            raise ScramError(f"{count} iterations are not between {MIN_ITERATIONS} and {MAX_ITERATIONS}")
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, _decode(fields.get("s", "")), int(count))
        without_proof = f"c=biws,r={nonce}"
        message = b",".join([self._bare.encode(), answer, without_proof.encode()])
        client_key = self._hmac(salted, b"Client Key")
        mask = self._hmac(hashlib.new(self._hash, client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, mask, strict=True))
        self._signature = self._hmac(self._hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, answer: bytes) -> None:
        """Check the server's proof that it knows the password, too."""
        signature = _decode(_fields(answer).get("v", ""))
        if not self._signature or not hmac.compare_digest(signature, self._signature):
            raise ScramError("it does not know the password itself")

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._hash)


def _fields(answer: bytes) -> dict[str, str]:
    try:
        text = answer.decode("utf-8")
    except UnicodeDecodeError:
        raise ScramError("its answer is no text") from None
    return {name: value for name, _, value in (field.partition("=") for field in text.split(","))}


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ScramError("its answer is no base64") from None
