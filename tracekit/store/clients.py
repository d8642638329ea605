"""The client of an object store, set up as the environment and the profiles of a machine say."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from obstore.store import GCSStore, S3Store

from tracekit.store.endpoints import google_endpoint, plain_http_is_safe, s3_endpoint
from tracekit.store.profiles import profile_settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, RetryConfig, S3Config

# of one request with its body: obstore's 30 s would cut off a slow line within a shard of 256 MiB
TIMEOUT = "5min"
# as obstore has them: 10 times, with growing pauses, within 3 minutes
RETRIES: RetryConfig = {}
# for emulators: whoever leaves signatures out of requests to read is still asked who puts
NOBODY = json.dumps({"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""})
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def client_of(url: str) -> S3Store | GCSStore:
    """Make obstore's client of a URL.

    Not with its `from_url`, which leaves out what follows a ? or #, and so would take one run for another.
    """
    scheme, _, place = url.partition("://")
    bucket, _, prefix = place.partition("/")
    if scheme == "gs":
        google = _google_settings()
        options = _options(scheme, google.get("base_url"))
        return GCSStore(bucket, prefix=prefix, config=google, client_options=options, retry_config=RETRIES)
    settings = _s3_settings()
    options = _options(scheme, settings.get("endpoint"))
    return S3Store(bucket, prefix=prefix, config=settings, client_options=options, retry_config=RETRIES)


def _options(scheme: str, endpoint: str | None) -> ClientConfig:
    return {"timeout": TIMEOUT, "allow_http": plain_http_is_safe(scheme, endpoint)}


def _google_settings() -> GCSConfig:
    """Give what the client does not read from the environment by itself."""
    endpoint, emulator = google_endpoint()
    if endpoint is None:
        return {}
    return {"base_url": endpoint, "service_account_key": NOBODY} if emulator else {"base_url": endpoint}


def _s3_settings() -> S3Config:
    """Give what the client does not read from the environment by itself."""
    profile = profile_settings()
    settings: S3Config = {}
    if endpoint := s3_endpoint(profile):
        settings["endpoint"] = endpoint
    if "region" in profile and not any(os.environ.get(name) for name in REGIONS):
        settings["region"] = profile["region"]
    if "aws_access_key_id" in profile and not os.environ.get("AWS_ACCESS_KEY_ID"):
        settings["access_key_id"] = profile["aws_access_key_id"]
        settings["secret_access_key"] = profile.get("aws_secret_access_key", "")
        if "aws_session_token" in profile:
            settings["session_token"] = profile["aws_session_token"]
    return settings
