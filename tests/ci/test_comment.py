"""The comment, against GitHub's API played by a real HTTP server, from artifacts of strangers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fakes.github_actions import SHELL, action
from fakes.github_api import HEAD, REPOSITORY, TOKEN, Api, serving, zipped

from harness.ci.comment import Run, comment, record_of, run_of_event
from harness.ci.github import GitHub
from harness.errors import ReportError
from harness.report.document import Document, Note, as_json

ROOT = Path(__file__).parents[2]
PAGE = "https://github.com/me/mine/actions/runs/5"
RUN = Run(id=5, event="pull_request", head_sha=HEAD, head_repository="you/mine", page=PAGE)
DOCUMENT = Document(title="Emulated boards", verdict="1 slower.", bad=True)
BODY = f"""\
<!-- tinyml-hil hil -->
### Emulated boards

**1 slower.**

[Run and report]({PAGE}) of `{HEAD}`"""


def record(shown: Document = DOCUMENT, **changes: Any) -> bytes:
    content = {
        "format": 1,
        "name": "hil",
        "pull_request": 7,
        "document": json.loads(as_json(shown)),
    }
    return json.dumps(content | changes).encode()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as found:
        found.pull(7)
        yield found


def said(api: Api, run: Run = RUN, name: str = "hil") -> str:
    return comment(GitHub(url=api.url, repository=REPOSITORY, token=TOKEN), run, name)


def bodies(api: Api) -> list[str]:
    return [one["body"] for one in api.comments]


def test_a_comment_is_written_then_changed_and_never_repeated(api: Api) -> None:
    api.artifact("hil-comment", zipped(record()))
    assert said(api) == "pull request 7: commented"
    assert bodies(api) == [BODY]
    assert said(api) == "pull request 7: the comment says so already"
    api.artifact("hil-comment", zipped(record(replace(DOCUMENT, verdict="1 same.", bad=False))))
    assert said(api) == "pull request 7: comment changed"
    assert bodies(api) == [BODY.replace("**1 slower.**", "1 same.")]


def test_the_token_goes_to_the_api_alone(api: Api) -> None:
    api.artifact("hil-comment", zipped(record()))
    said(api)
    for method, path, authorization in api.seen:
        expected = None if path.startswith("/blob/") else f"Bearer {TOKEN}"
        assert authorization == expected, (method, path)
    assert any(path.startswith("/blob/") for _, path, _ in api.seen)


def test_a_marker_of_somebody_else_is_left_alone_also_behind_many_comments(api: Api) -> None:
    api.says("mallory", BODY)
    for _ in range(150):
        api.says("you", "nice")
    api.says("github-actions[bot]", "<!-- tinyml-hil hil -->\nold")
    api.says("github-actions[bot]", "<!-- tinyml-hil other -->\nold")
    api.artifact("hil-comment", zipped(record()))
    assert said(api) == "pull request 7: comment changed"
    assert bodies(api)[0] == bodies(api)[-2] == BODY
    assert api.comments[0]["user"]["login"] == "mallory" and len(api.comments) == 153
    assert bodies(api)[-1].endswith("old")


def test_two_uses_have_a_comment_each(api: Api) -> None:
    for name in ("hil", "tflm"):
        api.artifact(f"{name}-comment", zipped(record()))
        assert said(api, name=name) == "pull request 7: commented"
    assert [body.split("\n")[0] for body in bodies(api)] == [
        "<!-- tinyml-hil hil -->",
        "<!-- tinyml-hil tflm -->",
    ]


@pytest.mark.parametrize(
    ("pull", "why"),
    [
        ({"sha": "b" * 40}, f"the head of pull request 7 is not {HEAD}"),
        ({"state": "closed"}, "pull request 7 is closed"),
        ({"fork": "other/mine"}, "pull request 7 is not from you/mine"),
    ],
)
def test_a_number_counts_only_for_the_commit_that_the_run_was_of(
    api: Api, pull: dict[str, str], why: str
) -> None:
    api.pull(7, **pull)
    api.artifact("hil-comment", zipped(record()))
    assert said(api).startswith(f"no comment: {why}")
    assert api.comments == []


def test_a_deleted_fork_gets_its_comment(api: Api) -> None:
    api.pull(7, fork="")
    api.artifact("hil-comment", zipped(record()))
    assert said(api) == "pull request 7: commented"


def test_where_there_is_nothing_nothing_is_said(api: Api) -> None:
    assert said(api) == "run 5 left no comparison hil: nothing to say"
    api.artifact("hil-comment", zipped(record()), expired=True)
    assert "nothing to say" in said(api)
    assert "not of a pull request" in said(api, replace(RUN, event="push"))
    assert api.comments == []


def bomb(size: int) -> bytes:
    """A zip of a few kB whose file has `size` bytes, and whose directory says 100."""
    archive = zipped(b"[" + b" " * size)
    start = archive.rindex(b"PK\x01\x02")
    return archive[: start + 24] + (100).to_bytes(4, "little") + archive[start + 28 :]


def many(count: int) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"../{number}", "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (b"", "no zip file"),
        (b"PK\x03\x04" + b"x" * 100, "no zip file"),
        (zipped(record(), "../comparison.json"), "no zip file with comparison.json"),
        (many(11), "more than 10 files"),
        (zipped(b" " * 5_000_000), "more than 4000000 bytes"),
        (bomb(5_000_000), "no zip file|more than 4000000 bytes"),
        (zipped(b"[" * 100_000), "recursion|nested"),
        (zipped(b"\xff"), "decode"),
        (zipped(b"[]"), "another version"),
        (zipped(record(format=2)), "another version"),
        (zipped(record(pull_request=None)), "names no pull request"),
        (zipped(record(pull_request=True)), "names no pull request"),
        (zipped(record(pull_request="7/../../x")), "names no pull request"),
        (zipped(record(document={"title": "<script>"})), "a document has"),
    ],
)
def test_what_is_no_record_is_refused(archive: bytes, why: str) -> None:
    with pytest.raises(ReportError, match=f"the artifact cannot be used: .*({why})"):
        record_of(archive)


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_a_damaged_archive_is_refused_or_read(at: int) -> None:
    archive = bytearray(zipped(record()))
    archive[at % len(archive)] ^= 0xFF
    try:
        assert record_of(bytes(archive)).pull_request == 7
    except ReportError as error:
        assert "the artifact cannot be used" in str(error)


def test_a_large_artifact_is_not_fetched(api: Api) -> None:
    api.artifact("hil-comment", zipped(record()), size=4_000_001)
    with pytest.raises(ReportError, match="more than 4000000 bytes: not looked at"):
        said(api)
    assert not any(path.startswith("/blob/") for _, path, _ in api.seen)


def test_an_artifact_that_is_larger_than_it_said_is_refused(api: Api) -> None:
    api.artifact("hil-comment", os.urandom(4_100_000), size=10)
    with pytest.raises(ReportError, match="more than 4000000 bytes"):
        said(api)


def test_a_hostile_document_stays_text_and_within_githubs_limit(api: Api) -> None:
    text = "@octocat [x](http://evil) <img src=x> `|` #1 \x1b[31m"
    notes = tuple(Note(subject=text, text=text) for _ in range(2000))
    hostile = Document(title=text, verdict=text, bad=True, notes=notes)
    api.artifact("hil-comment", zipped(record(hostile)))
    said(api)
    (body,) = bodies(api)
    assert len(body) < 65_536 and "more lines left out" in body
    assert body.startswith("<!-- tinyml-hil hil -->\n### `@octocat [x](http://evil) <img src=x> ")
    assert all(line.count("`") % 2 == 0 for line in body.splitlines())


def test_a_refusal_names_the_permissions_that_are_needed(api: Api) -> None:
    api.artifact("hil-comment", zipped(record()))
    api.forbidden = f"/repos/{REPOSITORY}/issues/7/comments"
    with pytest.raises(ReportError) as caught:
        said(api)
    text = str(caught.value)
    assert "403" in text and "pull-requests: write" in text and "\x1b" not in text


def test_an_api_that_is_not_there_is_named() -> None:
    github = GitHub(url="http://127.0.0.1:9", repository=REPOSITORY, token=TOKEN)
    with pytest.raises(ReportError, match=r"127\.0\.0\.1 cannot be asked"):
        comment(github, RUN, "hil")


EVENT = {
    "workflow_run": {
        "id": 5,
        "event": "pull_request",
        "head_sha": HEAD,
        "head_repository": {"full_name": "you/mine"},
        "html_url": PAGE,
    }
}


def test_the_actions_step_comments_with_nothing_installed(api: Api, tmp_path: Path) -> None:
    api.artifact("hil-comment", zipped(record()))
    folder = ROOT / ".github" / "actions" / "comment"
    (step,) = action(folder / "action.yml")["runs"]["steps"]
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    done = subprocess.run(
        [*SHELL, step["run"]],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "NAME": "hil",
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_API_URL": api.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_ACTION_PATH": str(folder),
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "pull request 7: commented\n"), done.stderr
    assert bodies(api) == [BODY]


def test_another_event_is_refused(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"pull_request": {}}')
    with pytest.raises(ReportError, match="`workflow_run` starts"):
        run_of_event(tmp_path / "event.json")
