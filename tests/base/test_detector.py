"""The rule by which a stream's scores become detections, as users write it."""

import pytest

from harness.detector import Detector, parse_detector


def test_a_rule_has_a_class_and_says_what_it_needs() -> None:
    assert parse_detector("yes, threshold=0.8, rate=50") == Detector(
        of="yes", threshold=0.8, rate=50
    )
    text = "yes,threshold=0.8,rate=50,average=1,minimum=3,suppression=1.5,late=0.5"
    rule = parse_detector(text)
    assert (rule.average, rule.minimum, rule.suppression, rule.late) == (1, 3, 1.5, 0.5)
    assert str(rule) == text and parse_detector(str(rule)) == rule
    assert str(parse_detector("1,threshold=-2,rate=1e2")) == "1,threshold=-2,rate=100"


@pytest.mark.parametrize(
    "text",
    (
        *("yes", "threshold=1,rate=1", "yes,threshold=1", "yes,rate=50", ",threshold=1,rate=1"),
        *("yes,threshold=x,rate=50", "yes,threshold=nan,rate=50", "yes,threshold=1,rate=0"),
        *("yes,threshold=1,rate=inf", "yes,threshold=1,rate=50,minimum=0"),
        *("yes,threshold=1,rate=50,average=-1", "yes,threshold=1,rate=50,none=1"),
        *("yes,threshold=1,rate=50,rate=20", "yes,threshold=1,rate=50,minimum=1.5"),
        "y" * 300 + ",threshold=1,rate=50",
    ),
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_detector(text)
