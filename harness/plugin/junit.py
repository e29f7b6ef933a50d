"""JUnit XML as pytest wrote it, with what this harness knows put where CI servers look."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

OUTCOME = "hil_outcome"
LINK_LOG = "hil_link_log"
_PREFIXES = ('failed on setup with "', 'failed on teardown with "')


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
