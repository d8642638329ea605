"""Which server is meant by `s3://`, as the environment says."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from tracekit.errors import StoreError

VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def s3_endpoint() -> str | None:
    """Give the server that the environment names, or None for the provider's own.

    Raises
    ------
    StoreError
        If what it names is not the URL of a server.
    """
    variable = next((name for name in VARIABLES if os.environ.get(name)), None)
    if variable is None:
        return None
    endpoint = os.environ[variable]
    if not _is_a_server(endpoint):
        raise StoreError(
            f"{variable}: expected http://HOST:PORT or https://HOST, found {endpoint!r}; set it to the URL "
            "of the object store, or unset it"
        )
    return endpoint


def plain_http_is_safe(endpoint: str | None) -> bool:
    """Say whether http may be used: on this machine, or where the user says so.

    Examples
    --------
    >>> plain_http_is_safe("http://127.0.0.1:9000"), plain_http_is_safe("http://10.0.0.7:9000")
    (True, False)
    """
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
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
