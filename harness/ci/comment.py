"""The comment under a pull request, from what a run of the pull request's own code left.

It runs in a workflow that `workflow_run` starts, with a token that may write comments, and nothing
of the pull request: neither its code nor its workflow. What comes from there is a zip file with one
JSON file, which is hostile until proven otherwise. It is read in memory, within bounds, never
unpacked and never executed; the number in it counts only if that pull request's head is the very
commit that the run was of; and its texts are shown as text.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import error as ZlibError  # noqa: N812

from harness.ci.github import GitHub
from harness.errors import ReportError
from harness.names import is_name
from harness.report.document import MOST_JSON, Document, document_from
from harness.report.markdown import MOST_MARKDOWN, as_markdown, code
from harness.text import printable

RECORD = "comparison.json"
MOST_ZIP = 4_000_000
"""Bytes of the artifact."""
_MOST_ENTRIES = 10
_MOST_EVENT = 10_000_000
_MOST_PAGES = 30
_PER_PAGE = 100
_AUTHOR = "github-actions[bot]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run that a workflow_run event is of, as GitHub says it."""

    id: int
    event: str
    head_sha: str
    head_repository: str
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the artifact holds."""

    pull_request: int
    document: Document


def comment(github: GitHub, run: Run, name: str) -> str:
    """Write the comment of a run, or change the one that is there; says what was done.

    Args:
        name: of the action, which the artifact and the comment's marker bear.

    Raises:
        ReportError: the artifact is none of ours, or GitHub refuses.
    """
    if run.event != "pull_request":
        return f"run {run.id} was not of a pull request: nothing to say"
    archive = _artifact(github, run, f"{name}-comment")
    if archive is None:
        return f"run {run.id} left no comparison {name}: nothing to say"
    record = record_of(archive)
    if why := _other_head(github, run, record.pull_request):
        return f"no comment: {why}"
    body = body_of(record.document, run, name)
    return _write(github, record.pull_request, body, _marker(name))


def body_of(document: Document, run: Run, name: str) -> str:
    """The text of the comment; the marker, by which it is found again, is its first line."""
    begin = f"{_marker(name)}\n"
    end = f"\n\n[Run and report]({run.page}) of {code(run.head_sha)}"
    return begin + as_markdown(document, MOST_MARKDOWN - len(begin) - len(end)) + end


def _marker(name: str) -> str:
    return f"<!-- tinyml-hil {name} -->"


def _artifact(github: GitHub, run: Run, name: str) -> bytes | None:
    """The run's newest artifact of a name; None if it has none."""
    path = f"actions/runs/{run.id}/artifacts?per_page={_PER_PAGE}&name={quote(name)}"
    found = _listed(_field(github.get(path), "artifacts"))
    ours = [one for one in found if _field(one, "name") == name and not _field(one, "expired")]
    if not ours:
        return None
    newest = max(ours, key=lambda one: _number(one, "id"))
    if _number(newest, "size_in_bytes") > MOST_ZIP:
        raise ReportError(f"artifact {name} has more than {MOST_ZIP} bytes: not looked at")
    return github.download(f"actions/artifacts/{_number(newest, 'id')}/zip", MOST_ZIP)


def record_of(archive: bytes) -> Record:
    """What a zip file holds that a stranger may have made.

    Raises:
        ReportError: it is not such a file, or larger than it may be.
    """
    try:
        text = _member(archive)
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != 1:
            raise ValueError("it is of another version")
        number = found.get("pull_request")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**9:
            raise ValueError("it names no pull request")
        return Record(pull_request=number, document=document_from(found.get("document")))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"the artifact cannot be used: {printable(str(error))}") from None


def _member(archive: bytes) -> bytes:
    """The one file in it; ValueError if there is none that can be read within bounds."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            if len(opened.infolist()) > _MOST_ENTRIES:
                raise ValueError(f"more than {_MOST_ENTRIES} files in it")
            # What the directory says of its size may be wrong: no more than that is unpacked.
            with opened.open(RECORD) as file:
                text = file.read(MOST_JSON + 1)
    except (zipfile.BadZipFile, ZlibError, RuntimeError, KeyError, OSError, EOFError) as error:
        raise ValueError(f"no zip file with {RECORD}: {error}") from None
    if len(text) > MOST_JSON:
        raise ValueError(f"{RECORD} has more than {MOST_JSON} bytes")
    return text


def _other_head(github: GitHub, run: Run, number: int) -> str | None:
    """Why a pull request is not the one that a run was of; None if it is."""
    pull = github.get(f"pulls/{number}")
    head = _field(pull, "head")
    if _field(pull, "state") != "open":
        return f"pull request {number} is closed"
    if _field(head, "sha") != run.head_sha:
        return f"the head of pull request {number} is not {run.head_sha}, of which the run was"
    # A deleted fork has no repository any more.
    if _field(head, "repo") and _field(_field(head, "repo"), "full_name") != run.head_repository:
        return f"pull request {number} is not from {printable(run.head_repository)}"
    return None


def _write(github: GitHub, number: int, body: str, marker: str) -> str:
    old = _ours(github, number, marker)
    if old is None:
        github.send("POST", f"issues/{number}/comments", {"body": body})
        return f"pull request {number}: commented"
    if _field(old, "body") == body:
        return f"pull request {number}: the comment says so already"
    github.send("PATCH", f"issues/comments/{_number(old, 'id')}", {"body": body})
    return f"pull request {number}: comment changed"


def _ours(github: GitHub, number: int, marker: str) -> Any:
    """The workflow's own comment with a marker: anybody can write a marker, but not as the bot."""
    for page in range(1, _MOST_PAGES + 1):
        found = _listed(github.get(f"issues/{number}/comments?per_page={_PER_PAGE}&page={page}"))
        for one in found:
            author = _field(_field(one, "user") or {}, "login")
            if author == _AUTHOR and str(_field(one, "body")).startswith(marker):
                return one
        if len(found) < _PER_PAGE:
            return None
    raise ReportError(f"pull request {number} has more than {_MOST_PAGES * _PER_PAGE} comments")


def _field(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ReportError(f"GitHub's answer has no {name}")
    return value.get(name)


def _number(value: Any, name: str) -> int:
    found = _field(value, name)
    if not isinstance(found, int):
        raise ReportError(f"GitHub's answer has no number {name}")
    return found


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ReportError("GitHub's answer is no list")
    return value


def run_of_event(path: Path) -> Run:
    """The run of a workflow_run event, from the file that GitHub's runner writes.

    Raises:
        ReportError: it is another event.
    """
    with path.open("rb") as file:
        found = _field(json.loads(file.read(_MOST_EVENT)), "workflow_run")
    if not found:
        raise ReportError("this is for a workflow that `workflow_run` starts")
    return Run(
        id=_number(found, "id"),
        event=str(_field(found, "event")),
        head_sha=str(_field(found, "head_sha")),
        head_repository=str(_field(_field(found, "head_repository") or {}, "full_name")),
        page=str(_field(found, "html_url")),
    )


def comment_of_event(environment: Mapping[str, str], name: str) -> str:
    """The comment for the event that this workflow was started by.

    Raises:
        ReportError: as `comment`; or a variable of GitHub's runner is not set.
    """
    if not is_name(name):
        raise ReportError(f"{printable(name)} is no name")
    try:
        github = GitHub(
            url=environment["GITHUB_API_URL"],
            repository=environment["GITHUB_REPOSITORY"],
            token=environment["GITHUB_TOKEN"],
        )
        event = Path(environment["GITHUB_EVENT_PATH"])
    except KeyError as error:
        raise ReportError(f"${error.args[0]} is not set: this runs on GitHub") from None
    return comment(github, run_of_event(event), name)
