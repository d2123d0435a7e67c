"""How a connection is protected and who asks for it: TLS, mutual TLS and SASL, checked before anything connects."""

import functools
import ssl
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigurationError

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MAX_SECRET_BYTES = 4096
MAX_PEM_BYTES = 4 * 1024 * 1024


class Secret:
    """A string that shows itself only when asked by name: neither printing, formatting nor logging it says more."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, _: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Security:
    """What protects a connection, and the identity that it shows.

    protocol: PLAINTEXT, SSL (which is TLS), SASL_PLAINTEXT or SASL_SSL, as Kafka names them.
    ca: PEM file of the authorities to trust instead of the system's; certificate, key: PEM files of this client.

    Raises: ConfigurationError for parts that do not fit together.
    """

    protocol: str = "PLAINTEXT"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: Secret | None = None
    mechanism: str = "SCRAM-SHA-256"
    username: str | None = None
    password: Secret | None = None

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS or self.mechanism not in MECHANISMS:
            raise ConfigurationError(
                f"the security protocol must be one of {', '.join(PROTOCOLS)}, "
                f"and the SASL mechanism one of {', '.join(MECHANISMS)}"
            )
        self._check_tls()
        self._check_sasl()

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted and the broker proves who it is."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def is_sasl(self) -> bool:
        """Whether this client proves who it is by a password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @property
    def sends_password_in_clear(self) -> bool:
        """Whether whoever listens on the way can read the password."""
        return self.protocol == "SASL_PLAINTEXT" and self.mechanism == "PLAIN"

    @property
    def sasl_name(self) -> str:
        """The user's name as SCRAM writes it: `,` and `=` are escaped (RFC 5802, section 5.1)."""
        name = self.username or ""
        return name if self.mechanism == "PLAIN" else name.replace("=", "=3D").replace(",", "=2C")

    @functools.cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What verifies the broker's certificate and name, from the files as they were at first; None without TLS.

        Raises: ConfigurationError for a file that cannot be read or used.
        """
        if not self.is_tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca is None:
            context.load_default_certs()
        else:
            _load_ca(context, self.ca)
        if self.certificate is not None and self.key is not None:
            _load_certificate(context, self.certificate, self.key, self.key_password)
        return context

    def _check_tls(self) -> None:
        if not self.is_tls and (self.ca or self.certificate or self.key or self.key_password):
            raise ConfigurationError(
                f"a CA, certificate or key is of no use with {self.protocol}: "
                "set --security-protocol to SSL or SASL_SSL, or leave them out"
            )
        if self.certificate is not None and self.key is None:
            raise ConfigurationError("a certificate needs its private key: name it with --tls-key")
        if self.key is not None and self.certificate is None:
            raise ConfigurationError("a private key needs its certificate: name it with --tls-certificate")
        if self.key_password is not None and self.key is None:
            raise ConfigurationError("there is a key password and no key: name the key with --tls-key")

    def _check_sasl(self) -> None:
        if not self.is_sasl:
            if self.username is not None or self.password is not None:
                raise ConfigurationError(
                    f"a user name or password is of no use with {self.protocol}: "
                    "set --security-protocol to SASL_SSL, or leave them out"
                )
            return
        if not self.username:
            raise ConfigurationError(f"{self.protocol} needs a user: name one with --sasl-username")
        if self.password is None or not self.password.reveal():
            raise ConfigurationError(
                f"the user {self.username!r} needs a password: give --sasl-password-file, or set EDGE_SASL_PASSWORD"
            )
        if not _is_text(self.username) or not _is_text(self.password.reveal()):
            raise ConfigurationError("a user name and a password must be UTF-8 text without NUL")


def read_secret(path: Path) -> Secret:
    """The first and only line of a file, without its line end.

    Raises: ConfigurationError when it cannot be read, is empty or is no text.
    """
    text = _read(path, MAX_SECRET_BYTES)
    try:
        value = text.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} holds no secret: it is not UTF-8 text") from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value or "\n" in value:
        raise ConfigurationError(f"{path} must hold a secret on a single line")
    return Secret(value)


def _is_text(text: str) -> bool:
    # Bytes of the environment that are no UTF-8 come as surrogates, which cannot be sent.
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def _load_ca(context: ssl.SSLContext, path: Path) -> None:
    _read_pem(path, b"CERTIFICATE-----")
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError):
        raise ConfigurationError(f"{path} holds a damaged certificate: name a PEM file with --tls-ca") from None


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path, password: Secret | None) -> None:
    _read_pem(certificate, b"CERTIFICATE-----")
    _read_pem(key, b"PRIVATE KEY-----")
    is_encrypted = False

    def give_password() -> str:
        # Without a function here, OpenSSL would ask for the password on the terminal.
        nonlocal is_encrypted
        is_encrypted = True
        if password is None:
            raise ConfigurationError(
                f"the key {key} is encrypted: give --tls-key-password-file, or set EDGE_TLS_KEY_PASSWORD"
            )
        return password.reveal()

    try:
        context.load_cert_chain(certificate, key, give_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"the key {key} does not belong to the certificate {certificate}") from None
        if is_encrypted:
            raise ConfigurationError(f"the key {key} cannot be decrypted: its password is a different one") from None
        raise ConfigurationError(f"{certificate} or {key} is damaged: name PEM files that can be read") from None


def _read_pem(path: Path, label: bytes) -> None:
    if label not in _read(path, MAX_PEM_BYTES):
        what = label.decode().strip("-").lower()
        raise ConfigurationError(f"{path} holds no {what} in PEM (-----BEGIN …): convert it, or name another file")


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > limit:
        raise ConfigurationError(f"{path} is larger than {limit} bytes: name the right file")
    return data
