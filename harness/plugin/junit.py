"""JUnit XML as pytest wrote it, with what this harness knows put where CI servers look."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest

from harness.files import write_atomic
from harness.plugin.counts import RunCounts
from harness.plugin.state import junit_path
from harness.terminal import say

OUTCOME = "hil_outcome"
LINK_LOG = "hil_link_log"
_PREFIXES = ('failed on setup with "', 'failed on teardown with "')


class JUnitFile:
    """Completes pytest's JUnit file as soon as it is written, before what else may fail."""

    def __init__(self, counts: RunCounts) -> None:
        self._counts = counts
        self.lost = ""
        """Why there is no file where one was asked for."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        # Innermost: of all that ends a run only pytest's own writing comes before.
        path = junit_path(session.config)
        try:
            yield
        except OSError as error:
            # As on a full disk. Raised from here it would take the summary with it.
            if path is None:
                raise
            self.lost = f"{path}: {error.strerror or error}"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        self._change(session, annotate)

    def restate(self, session: pytest.Session) -> None:
        """Put the exit status right that has changed since the file was written."""
        if not self.lost:
            self._change(session, restate)

    def _change(
        self, session: pytest.Session, change: Callable[[bytes, Mapping[str, str]], bytes]
    ) -> None:
        """Rewrite the file, if there is one; where that fails it stays as it is."""
        path = junit_path(session.config)
        try:
            if path is not None and path.is_file():  # And no pipe.
                write_atomic(path, change(path.read_bytes(), self._properties(session)))
        except Exception as error:
            say(f"hil: {path} stays as pytest wrote it, without outcomes of boards: {error}")

    def _properties(self, session: pytest.Session) -> dict[str, str]:
        counts = self._counts
        return {
            OUTCOME: counts.outcome.value,
            "hil_exit_status": str(int(session.exitstatus)),
            **{f"hil_board_{board.board}": board.counted() for board in counts.boards},
        }


def annotate(xml: bytes, session: Mapping[str, str]) -> bytes:
    """Name outcomes in failures and errors, move link logs to the output, add session properties.

    A failure's or error's `type` becomes its test's hil_outcome, and its message begins so. The
    property hil_link_log becomes part of `system-out`, where it is not in there already.
    """
    root = fromstring(xml)
    for case in root.iter("testcase"):
        properties = {item.get("name"): item for item in case.iter("property")}
        if OUTCOME in properties:
            for node in (*case.iter("failure"), *case.iter("error")):
                _name(node, properties[OUTCOME].get("value", ""))
        if LINK_LOG in properties:
            _show(case, properties[LINK_LOG])
    for suite in root.iter("testsuite"):
        _describe(suite, session)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def restate(xml: bytes, session: Mapping[str, str]) -> bytes:
    """Give the session properties of an annotated file other values."""
    root = fromstring(xml)
    for suite in root.iter("testsuite"):
        for item in suite.iterfind("properties/property"):
            item.set("value", session.get(item.get("name", ""), item.get("value", "")))
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _name(node: Element, outcome: str) -> None:
    message = node.get("message", "")
    for prefix in _PREFIXES:
        if message.startswith(prefix):
            message = message.removeprefix(prefix).removesuffix('"')
    node.set("type", outcome)
    node.set("message", f"{outcome}: {message}")


def _show(case: Element, log: Element) -> None:
    text = log.get("value", "")
    properties = case.find("properties")
    assert properties is not None, "a property has its parent"
    properties.remove(log)
    if any(text in (output.text or "") for output in case.iter("system-out")):
        return
    SubElement(case, "system-out").text = f"log of the link\n{text}\n"


def _describe(suite: Element, session: Mapping[str, str]) -> None:
    properties = suite.find("properties")
    if properties is None:
        properties = Element("properties")
        suite.insert(0, properties)
    for name, value in session.items():
        SubElement(properties, "property", name=name, value=value)
