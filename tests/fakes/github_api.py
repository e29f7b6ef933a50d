"""GitHub's API on a local port, as far as a comment needs it: a real server, scripted facts."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghs_secret"
REPOSITORY = "me/mine"
HEAD = "a" * 40


def zipped(content: bytes, name: str = "comparison.json") -> bytes:
    """A zip file as upload-artifact makes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class Api:
    """What GitHub knows; `seen` are the requests that came, with their Authorization."""

    url: str = ""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    archives: dict[int, bytes] = field(default_factory=dict)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    forbidden: str = ""

    def pull(
        self, number: int, sha: str = HEAD, state: str = "open", fork: str = "you/mine"
    ) -> None:
        self.pulls[number] = {
            "state": state,
            "head": {"sha": sha, "repo": {"full_name": fork} if fork else None},
        }

    def artifact(self, name: str, archive: bytes, size: int | None = None, **more: Any) -> None:
        number = len(self.artifacts) + 1
        size = len(archive) if size is None else size
        one = {"id": number, "name": name, "size_in_bytes": size, "expired": False, **more}
        self.artifacts.append(one)
        self.archives[number] = archive

    def says(self, login: str, body: str) -> None:
        number = len(self.comments) + 1
        self.comments.append({"id": number, "user": {"login": login}, "body": body})

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """The JSON answer; None is 404."""
        parts = path.removeprefix(f"/repos/{REPOSITORY}/").split("/")
        match method, parts:
            case "GET", ["actions", "runs", "5", "artifacts"]:
                named = [one for one in self.artifacts if one["name"] == query["name"][0]]
                return {"total_count": len(named), "artifacts": named}
            case "GET", ["pulls", number]:
                return self.pulls.get(int(number))
            case "GET", ["issues", _, "comments"]:
                size, page = (int(query[name][0]) for name in ("per_page", "page"))
                return self.comments[size * (page - 1) : size * page]
            case "POST", ["issues", _, "comments"]:
                self.says("github-actions[bot]", body["body"])
                return self.comments[-1]
            case "PATCH", ["issues", "comments", number]:
                (one,) = (one for one in self.comments if one["id"] == int(number))
                one["body"] = body["body"]
                return one
        return None


@contextmanager
def serving() -> Iterator[Api]:
    """The API, until the end of the block."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            split = urlsplit(self.path)
            api.seen.append((self.command, split.path, self.headers["Authorization"]))
            if split.path.startswith("/blob/"):
                return self._reply(200, api.archives[int(split.path.rpartition("/")[2])])
            if split.path == api.forbidden:
                return self._reply(403, b'{"message": "Resource not accessible \x1b[31m"}')
            if split.path.endswith("/zip"):
                number = split.path.split("/")[-2]
                return self._reply(302, b"", Location=f"{api.url}/blob/{number}")
            length = int(self.headers["Content-Length"] or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            found = api.answer(self.command, split.path, parse_qs(split.query), body)
            self._reply(404 if found is None else 200, json.dumps(found).encode())

        def _reply(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _do

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
