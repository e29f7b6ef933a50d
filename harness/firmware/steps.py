"""Steps of a model as JSON, the file kept beside a firmware built for profiling."""

from __future__ import annotations

import json
from dataclasses import asdict

from harness.model.graph import Step


def steps_text(steps: tuple[Step, ...]) -> str:
    """Steps as JSON."""
    return json.dumps([asdict(step) for step in steps])


def steps_of(text: str) -> tuple[Step, ...]:
    """Steps from the JSON of `steps_text`."""
    return tuple(
        Step(operators=tuple(item["operators"]), output=item["output"]) for item in json.loads(text)
    )
