"""A tiny hub on this machine that speaks as much HTTP as huggingface_hub asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.models.fakes import FILES, git_id

COMMIT = "c0ffee" + "0" * 34


class LoopbackHub(BaseHTTPRequestHandler):
    """Lists and serves `repositories`; some owners stand for faults: gated, busy."""

    # No connection outlives its request.
    protocol_version = "HTTP/1.0"
    repositories: ClassVar[dict[str, dict[str, bytes]]] = FILES
    requests: ClassVar[list[tuple[str, str]]] = []
    """Path and Range of each GET of a file."""
    tokens: ClassVar[list[str | None]] = []
    """Of each of them."""
    stall_after: ClassVar[int | None] = None
    """Bytes of a file after which nothing more comes."""
    goes_on: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._list("/".join(parts[2:4]))
        elif parts[2:3] == ["resolve"]:
            self._send_file("/".join(parts[:2]), "/".join(parts[4:]))
        else:
            self._json({"error": "not found"}, 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self, repository: str) -> None:
        if repository.startswith("gated/"):
            self._json({"error": "gated"}, 403, {"X-Error-Code": "GatedRepo"})
        elif repository.startswith("busy/"):
            self._json({"error": "busy"}, 418)
        elif repository not in self.repositories:
            self._json({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        else:
            siblings = [_sibling(path, content) for path, content in self.repositories[repository].items()]
            card = {"license": "apache-2.0"}
            self._json({"id": repository, "sha": COMMIT, "siblings": siblings, "cardData": card})

    def _send_file(self, repository: str, path: str) -> None:
        content = self.repositories[repository][path]
        if repository.startswith("elsewhere/") and self.headers["Host"].startswith("127."):
            self._json({}, 302, {"Location": f"http://localhost:{self.server.server_port}{self.path}"})  # type: ignore[attr-defined]
            self.tokens.append(self.headers.get("Authorization"))
            return
        self.tokens.append(self.headers.get("Authorization"))
        wanted = self.headers.get("Range", "")
        self.requests.append((path, wanted))
        begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = len(content) if self.stall_after is None else min(len(content), self.stall_after)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[begin:stop])
            self.wfile.flush()
            if stop < len(content):
                self.goes_on.wait(30)
                self.close_connection = True

    def _json(self, table: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(table).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _sibling(path: str, content: bytes) -> dict[str, object]:
    sibling: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": git_id(content)}
    if path.endswith(".safetensors"):
        sha256 = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 130}
    return sibling


@contextlib.contextmanager
def loopback_hub(
    repositories: dict[str, dict[str, bytes]] = FILES, stall_after: int | None = None
) -> Iterator[tuple[str, type[LoopbackHub]]]:
    """Serve, and give the address and the handler, which remembers what was asked for."""

    class Handler(LoopbackHub):
        pass

    Handler.repositories, Handler.requests, Handler.tokens = repositories, [], []
    Handler.stall_after, Handler.goes_on = stall_after, threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Handler
    finally:
        Handler.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
