"""Which server is meant by `s3://` or `gs://`, as the environment says."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from tracekit.errors import StoreError

VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
IN_PROFILE = "endpoint_url"
GOOGLE_VARIABLE = "GOOGLE_BASE_URL"
EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"  # what Google's own clients go by
ALLOW_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP"}


def s3_endpoint(profile: Mapping[str, str]) -> str | None:
    """Give the server that the environment or a profile names, or None for the provider's own.

    Raises
    ------
    StoreError
        If what it names is not the URL of a server.
    """
    named = {name: os.environ.get(name) for name in VARIABLES} | {IN_PROFILE: profile.get(IN_PROFILE)}
    return _server(named)


def google_endpoint() -> tuple[str | None, bool]:
    """Give the server that the environment names for `gs://`, if any, and whether it is an emulator's.

    Raises
    ------
    StoreError
        If what it names is not the URL of a server.
    """
    emulator = os.environ.get(EMULATOR_VARIABLE)
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    own = os.environ.get(GOOGLE_VARIABLE)
    return _server({GOOGLE_VARIABLE: own, EMULATOR_VARIABLE: emulator}), bool(emulator and not own)


def _server(named: Mapping[str, str | None]) -> str | None:
    """Give the first server that is named."""
    variable, endpoint = next(((name, value) for name, value in named.items() if value), ("", None))
    if endpoint is not None and not _is_a_server(endpoint):
        raise StoreError(
            f"{variable}: expected http://HOST:PORT or https://HOST, found {endpoint!r}; set it to the URL "
            "of the object store, or unset it"
        )
    return endpoint


def plain_http_is_safe(scheme: str, endpoint: str | None) -> bool:
    """Say whether http may be used: on this machine, or where the user says so.

    Examples
    --------
    >>> plain_http_is_safe("s3", "http://127.0.0.1:9000"), plain_http_is_safe("s3", "http://10.0.0.7:9000")
    (True, False)
    """
    if os.environ.get(ALLOW_HTTP[scheme], "").lower() in ("1", "true"):
        return True
    host = urlsplit(endpoint or "").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_a_server(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
