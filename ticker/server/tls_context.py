"""TLS as Hypercorn's options ask for it, and what is wrong with them in words."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog
from hypercorn.config import Config

from ticker import limits
from ticker.http.http_stream import HTTP_1
from ticker.server.process import ServiceError

log = structlog.get_logger()


def tls_context(config: Config) -> ssl.SSLContext | None:
    """Make what Hypercorn's configuration says of TLS; None where it says nothing.

    Raises:
        ServiceError: it cannot be read, is not complete, or asks for what is not served.
    """
    if config.quic_bind:
        raise ServiceError("HTTP/3 is not served: leave --quic-bind out", settings=True)
    if "alpn_protocols" in vars(config) and config.alpn_protocols != [HTTP_1]:
        log.warning("alpn_protocols_ignored", hint=f"only {HTTP_1} is served over TLS")
    config.alpn_protocols = [HTTP_1]
    if not config.ssl_enabled:
        _refuse_half(config)
        return None
    try:
        context = config.create_ssl_context()
    except (OSError, ValueError) as error:
        reason = _reason(config, error)
        raise ServiceError(f"TLS cannot be set up: {reason}", settings=True) from None
    if context is not None:
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.num_tickets = limits.TLS_TICKETS
        _warn_of_dates(str(config.certfile))
    return context


def _refuse_half(config: Config) -> None:
    """Refuse what asks for TLS and would get none: Hypercorn serves in the clear then."""
    asked = {
        "--certfile": config.certfile,
        "--keyfile": config.keyfile,
        "--ca-certs": config.ca_certs,
        "--verify-mode": config.verify_mode,
    }
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise ServiceError(
            f"{', '.join(given)}: TLS needs both --certfile and --keyfile", settings=True
        )


def _reason(config: Config, error: Exception) -> str:
    """Say what is wrong with the files of TLS; OpenSSL names none of them."""
    certificate, key = str(config.certfile), str(config.keyfile)
    for path in (certificate, key, config.ca_certs):
        if path is not None:
            try:
                Path(path).open("rb").close()
            except OSError as unreadable:
                return f"{path}: {unreadable.strerror}"
    code = getattr(error, "reason", None)
    if code == "KEY_VALUES_MISMATCH":
        return f"the key in {key} is of another certificate than the one in {certificate}"
    with suppress(OSError, UnicodeDecodeError):
        if "ENCRYPTED" in Path(key).read_text("ascii"):
            return f"{key} is encrypted: give its password with --keyfile-password"
    if isinstance(error, ssl.SSLError) and "cipher" not in str(error):
        named = [certificate, key, *([config.ca_certs] if config.ca_certs else [])]
        return f"{', '.join(named)}: not all of them are what they should be, in PEM ({error})"
    return str(error.args[0] if isinstance(error, ssl.SSLError) else error)


def _warn_of_dates(path: str) -> None:
    """Warn of a certificate that clients will refuse, or soon will."""
    # Loaded for TLS alone, since a start without it need not wait for it.
    from cryptography import x509  # noqa: PLC0415

    with suppress(ValueError, OSError):
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        now = datetime.now(UTC)
        if not begin <= now < end:
            log.warning(
                "certificate_not_valid", path=path, since=begin.isoformat(), until=end.isoformat()
            )
