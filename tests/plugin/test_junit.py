from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

from harness.plugin.junit import annotate

# As pytest 9 writes it, with less in it.
WRITTEN = b"""<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">
<testcase classname="t" name="sick"><properties><property name="hil_outcome" value="sick rig"/>
<property name="hil_link_log" value="0.0 &gt; HELLO&#10;0.1 &lt; 00"/></properties>
<error message="failed on setup with &quot;LinkTimeout: no reply&quot;">trace</error></testcase>
<testcase classname="t" name="slow"><properties>
<property name="hil_outcome" value="too slow"/><property name="hil_link_log" value="0.2 &gt; RUN"/>
</properties><failure message="TooSlow: 53 us">trace</failure>
<system-out>log of the link 0.2 &gt; RUN end</system-out></testcase>
<testcase classname="t" name="fine"/>
<testcase classname="t" name="other"><failure message="assert 0">trace</failure></testcase>
</testsuite></testsuites>"""


def cases() -> dict[str | None, Element]:
    root = fromstring(annotate(WRITTEN, {"hil_outcome": "too slow"}))
    return {case.get("name"): case for case in root.iter("testcase")}


def test_failures_and_errors_begin_with_their_outcome() -> None:
    error, failure = cases()["sick"].find("error"), cases()["slow"].find("failure")
    assert error is not None and failure is not None
    assert error.attrib == {"type": "sick rig", "message": "sick rig: LinkTimeout: no reply"}
    assert failure.attrib == {"type": "too slow", "message": "too slow: TooSlow: 53 us"}
    assert error.text == "trace"


def test_the_link_log_is_in_the_output_once() -> None:
    sick, slow = cases()["sick"], cases()["slow"]
    assert sick.findtext("system-out") == "log of the link\n0.0 > HELLO\n0.1 < 00\n"
    assert len(slow.findall("system-out")) == 1
    for case in (sick, slow):
        assert [item.get("name") for item in case.iter("property")] == ["hil_outcome"]


def test_other_tests_are_left_as_they_are() -> None:
    failure = cases()["other"].find("failure")
    assert failure is not None and failure.attrib == {"message": "assert 0"}
    assert len(cases()["fine"]) == 0


def test_the_session_has_properties_too() -> None:
    root = fromstring(annotate(annotate(WRITTEN, {"a": "1"}), {"b": "2"}))
    found = [(item.get("name"), item.get("value")) for item in root.findall("*/properties/*")]
    assert found == [("a", "1"), ("b", "2")]
