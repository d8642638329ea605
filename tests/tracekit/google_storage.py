"""A stand-in for Google Cloud Storage on this machine: objects with generations, over its XML API.

As the API is documented (https://cloud.google.com/storage/docs/xml-api/reference-methods), as far as a client
of one bucket needs it. A delete of what is not there is an error, which it is not on S3.
"""

import hashlib
import itertools
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

CHANGED = 412
LAST_MODIFIED = "Mon, 05 Jan 2026 12:00:00 GMT"


@dataclass(frozen=True)
class Stored:
    """An object, and the number that tells it from every other that was in its place."""

    data: bytes
    generation: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{hashlib.md5(self.data).hexdigest()}"',
            "x-goog-generation": str(self.generation),
            "Last-Modified": LAST_MODIFIED,
        }


@dataclass
class GoogleStorage:
    """A server of any bucket; `endpoint` is where."""

    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, Request.application(self._answer), threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Request) -> Response:
        bucket, _, key = request.path.lstrip("/").partition("/")
        with self._lock:
            if not key:
                return self._list(request)
            return self._method(request)(request, f"{bucket}/{key}")

    def _method(self, request: Request) -> Callable[[Request, str], Response]:
        methods = {"GET": self._get, "HEAD": self._get, "DELETE": self._delete, "PUT": self._put}
        if "uploadId" in request.args:
            return {"PUT": self._put_part, "POST": self._complete, "DELETE": self._abort}[request.method]
        return self._begin if request.method == "POST" else methods[request.method]

    def _list(self, request: Request) -> Response:
        bucket, prefix = request.path.strip("/"), request.args.get("prefix", "")
        delimiter = request.args.get("delimiter")
        keys = sorted(key.removeprefix(f"{bucket}/") for key in self.objects if key.startswith(f"{bucket}/"))
        found = [key for key in keys if key.startswith(prefix)]
        folders = sorted({folder for key in found if (folder := _folder(key, prefix, delimiter))})
        plain = [key for key in found if not _folder(key, prefix, delimiter)]
        return _xml("ListBucketResult", [*self._contents(bucket, plain), *map(_common_prefix, folders)])

    def _contents(self, bucket: str, keys: Iterable[str]) -> Iterable[str]:
        for key in keys:
            stored = self.objects[f"{bucket}/{key}"]
            yield (
                f"<Contents><Key>{escape(key)}</Key><Generation>{stored.generation}</Generation>"
                f"<LastModified>2026-01-05T12:00:00.000Z</LastModified><ETag>{stored.headers['ETag']}</ETag>"
                f"<Size>{len(stored.data)}</Size></Contents>"
            )

    def _get(self, request: Request, key: str) -> Response:
        stored = self.objects.get(key)
        if stored is None:
            return _error(404, "NoSuchKey")
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if asked is None:
            return Response(stored.data, headers=stored.headers)
        size = len(stored.data)
        first, last = asked.groups()
        start, stop = (int(first), min(int(last) + 1, size)) if first else (max(0, size - int(last)), size)
        if start >= size:
            return _error(416, "InvalidRange")
        headers = {**stored.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return Response(stored.data[start:stop], 206, headers)

    def _put(self, request: Request, key: str) -> Response:
        expected = request.headers.get("x-goog-if-generation-match")
        found = self.objects[key].generation if key in self.objects else 0
        if expected is not None and int(expected) != found:
            return _error(CHANGED, "PreconditionFailed")
        return self._store(key, request.get_data())

    def _store(self, key: str, data: bytes) -> Response:
        self.objects[key] = Stored(data, next(self._numbers))
        return Response(headers=self.objects[key].headers)

    def _delete(self, request: Request, key: str) -> Response:
        return Response(status=204) if self.objects.pop(key, None) else _error(404, "NoSuchKey")

    def _begin(self, request: Request, key: str) -> Response:
        upload = str(next(self._numbers))
        self.uploads[upload] = {}
        return _xml("InitiateMultipartUploadResult", [f"<UploadId>{upload}</UploadId>"])

    def _put_part(self, request: Request, key: str) -> Response:
        data = request.get_data()
        self.uploads[request.args["uploadId"]][int(request.args["partNumber"])] = data
        return Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    def _complete(self, request: Request, key: str) -> Response:
        parts = self.uploads.pop(request.args["uploadId"])
        stored = self._store(key, b"".join(parts[number] for number in sorted(parts)))
        response = _xml("CompleteMultipartUploadResult", [f"<ETag>{stored.headers['ETag']}</ETag>"])
        response.headers.update(stored.headers)
        return response

    def _abort(self, request: Request, key: str) -> Response:
        self.uploads.pop(request.args["uploadId"], None)
        return Response(status=204)


def _folder(key: str, prefix: str, delimiter: str | None) -> str:
    """Give the prefix up to the next delimiter, if there is one."""
    head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
    return prefix + head + found if found else ""


def _common_prefix(folder: str) -> str:
    return f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"


def _xml(name: str, content: Iterable[str]) -> Response:
    return Response(f'<?xml version="1.0"?><{name}>{"".join(content)}</{name}>', mimetype="application/xml")


def _error(status: int, code: str) -> Response:
    response = _xml("Error", [f"<Code>{code}</Code><Message>{code}</Message>"])
    response.status_code = status
    return response
