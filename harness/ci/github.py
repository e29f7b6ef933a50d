"""GitHub's API as far as a comment needs it, with bounded answers; the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, Any
from urllib.parse import urlsplit

from harness.errors import ReportError
from harness.text import printable

TIMEOUT_S = 30.0
MOST_ANSWER = 8_000_000
"""Bytes of an answer; a page of 100 comments of 65 536 characters comes near it."""
_API_VERSION = "2022-11-28"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Urllib would send the token on to wherever an answer points."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """The API at `url` of one repository, `owner/name`."""

    url: str
    repository: str
    token: str

    def get(self, path: str) -> Any:
        """A JSON answer; `path` is below the repository.

        Raises:
            ReportError: GitHub refuses, cannot be reached, or answers with something else.
        """
        return self._json("GET", path)

    def send(self, method: str, path: str, body: Mapping[str, object]) -> Any:
        """The same of a request with a body."""
        return self._json(method, path, json.dumps(body).encode())

    def download(self, path: str, most: int) -> bytes:
        """A file that the API redirects to; the token stays with the API.

        Raises:
            ReportError: as `get`, or it has more than `most` bytes.
        """
        place = self._redirected(f"{self.url}/repos/{self.repository}/{path}")
        if urlsplit(place).scheme != urlsplit(self.url).scheme:
            raise ReportError(f"GitHub sends us to {printable(place)}: not followed")
        content = _read(urllib.request.Request(place), most)
        if len(content) > most:
            raise ReportError(f"{path}: more than {most} bytes")
        return content

    def _redirected(self, url: str) -> str:
        try:
            with _open(self._request("GET", url)):
                raise ReportError(f"{url}: no file where GitHub said that one is")
        except urllib.error.HTTPError as answer:
            place = answer.headers.get("Location", "")
            if answer.code not in (301, 302, 303, 307, 308) or not place:
                raise _refused(answer) from None
            return place

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        url = f"{self.url}/repos/{self.repository}/{path}"
        content = _read(self._request(method, url, body), MOST_ANSWER)
        if len(content) > MOST_ANSWER:
            raise ReportError(f"{url}: an answer of more than {MOST_ANSWER} bytes")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ReportError(f"{url}: the answer is no JSON") from None

    def _request(self, method: str, url: str, body: bytes | None = None) -> urllib.request.Request:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "User-Agent": "tinyml-hil",
            "X-GitHub-Api-Version": _API_VERSION,
        }
        return urllib.request.Request(url, data=body, headers=headers, method=method)


def _open(request: urllib.request.Request) -> HTTPResponse:
    answer: HTTPResponse = urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S)
    return answer


def _read(request: urllib.request.Request, most: int) -> bytes:
    """The body, or its first `most` + 1 bytes."""
    try:
        with _open(request) as answer:
            return answer.read(most + 1)
    except urllib.error.HTTPError as answer:
        raise _refused(answer) from None
    except (OSError, HTTPException, ValueError) as error:
        place = urlsplit(request.full_url).hostname
        raise ReportError(f"{place} cannot be asked: {printable(str(error))}") from None


def _refused(answer: urllib.error.HTTPError) -> ReportError:
    with answer:
        said = answer.read(2000).decode(errors="replace")
    asked = f"{answer.url.partition('?')[0]}: {answer.code} {printable(said, 300)}"
    if answer.code in (401, 403, 404):
        hint = "The job needs `permissions: actions: read` and `pull-requests: write`."
        return ReportError(f"GitHub refuses {asked}", hint=hint)
    return ReportError(f"GitHub answers {asked}")
