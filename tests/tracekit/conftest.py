"""Object-store servers on this machine, and places for traces in every kind of store."""

from __future__ import annotations

import io
import logging
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google_storage import GoogleStorage
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "traces"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "NO_PROXY": "127.0.0.1",
}
OTHER_SETTINGS = (
    "AWS_SESSION_TOKEN",
    "AWS_ALLOW_HTTP",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
)


@dataclass
class Refusal:
    """What requests that concern a part of a path are answered, so many times."""

    part: str
    status: str
    code: str
    times: int = 1000

    def concerns(self, path: str) -> bool:
        return self.part in path and self.times > 0


@dataclass
class ObjectServer:
    """Moto's S3 server behind a door that counts requests, delays them, and refuses some.

    Changes go through the door one at a time: moto looks whether the condition of a put holds, and then puts,
    and lets others in between, which S3 does not.
    """

    latency_seconds: float = 0.0
    requests: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._changing = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT")).close()

    def _answer(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.requests.append(f"{environ['REQUEST_METHOD']} {path} {environ.get('HTTP_RANGE', '')}".strip())
        time.sleep(self.latency_seconds)
        refusal = next((refusal for refusal in self.refusals if refusal.concerns(path)), None)
        if refusal is None:
            return self._let_in(environ, start_response)
        refusal.times -= 1
        body = f"<Error><Code>{refusal.code}</Code><Message>no</Message></Error>".encode()
        start_response(refusal.status, [("Content-Length", str(len(body)))])
        return [body]

    def _let_in(self, environ, start_response):
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._application(environ, start_response)
        if environ.get("CONTENT_LENGTH"):  # a client that is suspended amid its put keeps nobody waiting
            data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(data)
        with self._changing:
            return self._application(environ, start_response)

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
def server(object_server) -> Iterator[ObjectServer]:
    """The server, with nothing counted and nothing refused."""
    object_server.counted()
    yield object_server
    object_server.latency_seconds = 0.0
    object_server.refusals.clear()


@pytest.fixture
def refuse(server):
    """Let the server refuse requests whose path has a part in it."""

    def add(part: str, status: str, code: str, times: int = 1000) -> None:
        server.refusals.append(Refusal(part, status, code, times))

    return add


@pytest.fixture
def s3(object_server) -> str:
    """A place in a bucket that no other test uses."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def google_storage() -> Iterator[GoogleStorage]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    storage = GoogleStorage()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield storage
    storage.stop()


@pytest.fixture
def gs(google_storage) -> str:
    """A place in a bucket that no other test uses, on a server that tells objects by generations."""
    return f"gs://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(params=["local", "memory", "s3", pytest.param("gs", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of every kind of store, to put traces under."""
    if request.param in ("s3", "gs"):
        return request.getfixturevalue(request.param)
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"{tmp_path}/traces"


@pytest.fixture(params=["local", "s3"])
def lasting_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that outlives a process, and that others see."""
    return request.getfixturevalue("s3") if request.param == "s3" else f"{tmp_path}/traces"
