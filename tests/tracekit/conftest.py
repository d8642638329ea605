"""An object-store server on this machine, and places for traces in every kind of store."""

from __future__ import annotations

import logging
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "traces"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "NO_PROXY": "127.0.0.1",
}
OTHER_SETTINGS = ("AWS_SESSION_TOKEN", "AWS_ALLOW_HTTP", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
REFUSALS = {"/forbidden": "403 Forbidden", "/unknown-key": "401 Unauthorized"}


@dataclass
class ObjectServer:
    """Moto's S3 server behind a door that counts requests, and can make each take longer."""

    latency_seconds: float = 0.0
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT")).close()

    def _answer(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.requests.append(f"{environ['REQUEST_METHOD']} {path} {environ.get('HTTP_RANGE', '')}".strip())
        time.sleep(self.latency_seconds)
        refusal = next((status for start, status in REFUSALS.items() if path.startswith(start)), None)
        if refusal is None:
            return self._application(environ, start_response)
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        start_response(refusal, [("Content-Length", str(len(body)))])
        return [body]

    def counted(self) -> list[str]:
        """Give the requests since the last call, and forget them."""
        found, self.requests = self.requests, []
        return found

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ObjectServer()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.endpoint}.items():
            patch.setenv(name, value)
        for name in OTHER_SETTINGS:
            patch.delenv(name, raising=False)
        yield server
    server.stop()


@pytest.fixture
def s3(object_server) -> str:
    """A place in a bucket that no other test uses."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(params=["local", "file", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of every kind of store, to put traces under."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return {
        "local": f"{tmp_path}/traces",
        "file": f"file://{tmp_path}/traces",
        "memory": f"memory://{uuid.uuid4().hex}",
    }[request.param]
