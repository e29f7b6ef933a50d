"""A composite action run step by step as GitHub's runner does, without GitHub.

Steps that run shell are run; those that use another action are skipped but for the checkout, which
the caller does. Of expressions only what our actions have is known: names, `||`, `==` with a text.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")


def action(path: Path) -> Mapping[str, Any]:
    """What an action.yml says."""
    content: Mapping[str, Any] = YAML(typ="safe").load(path)
    return content


@dataclass
class Runner:
    """`contexts` are GitHub's: `github`, `inputs`, `runner`, `steps`."""

    action: Path
    workspace: Path
    temp: Path
    github: Mapping[str, Any]
    inputs: Mapping[str, str]
    checkout: Callable[[Mapping[str, str]], None]
    environment: Mapping[str, str]
    skipped: tuple[str, ...] = ()
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    used: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    log: str = ""

    def run(self) -> int:
        """The exit status of the first step that fails; 0."""
        for step in action(self.action / "action.yml")["runs"]["steps"]:
            if "if" in step and not self._truth(step["if"]):
                continue
            if "run" in step:
                if step["name"] not in self.skipped and (status := self._shell(step)):
                    return status
                continue
            given = {name: self.text(str(value)) for name, value in step["with"].items()}
            self.used.append((step["uses"].partition("@")[0], given))
            if step["uses"].startswith("actions/checkout@"):
                self.checkout(given)
        return 0

    @property
    def summary(self) -> str:
        """What the job's summary shows."""
        path = self.temp / "summary"
        return path.read_text() if path.exists() else ""

    def _shell(self, step: Mapping[str, Any]) -> int:
        output = self.temp / "output"
        output.write_text("")
        given = {name: self.text(str(value)) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            [*SHELL, step["run"]],
            cwd=self.workspace,
            env={
                **os.environ,
                **self.environment,
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(self.action),
                "GITHUB_EVENT_NAME": str(self.github["event_name"]),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_SHA": str(self.github["sha"]),
                "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
                "GITHUB_WORKSPACE": str(self.workspace),
                "RUNNER_TEMP": str(self.temp),
                **given,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log += f"== {step['name']}: {done.returncode}\n{done.stdout}"
        said = dict(line.split("=", 1) for line in output.read_text().splitlines())
        self.outputs[step.get("id", step["name"])] = said
        return done.returncode

    def text(self, template: str) -> str:
        """A text with its expressions filled in."""
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: self._value(found[1]), template)

    def _value(self, expression: str) -> str:
        return next(filter(None, map(self._lookup, expression.split(" || "))), "")

    def _truth(self, expression: str) -> bool:
        name, _, wanted = expression.partition(" == ")
        return self._lookup(name) == wanted.strip("'")

    def _lookup(self, dotted: str) -> str:
        value: Any = {
            "github": self.github,
            "inputs": self._given(),
            "runner": {"os": "Linux", "arch": "X64", "temp": str(self.temp)},
            "steps": {name: {"outputs": said} for name, said in self.outputs.items()},
        }
        for name in dotted.strip().split("."):
            value = value.get(name, {}) if isinstance(value, Mapping) else {}
        return "" if isinstance(value, Mapping) else str(value)

    def _given(self) -> Mapping[str, str]:
        declared = action(self.action / "action.yml")["inputs"]
        defaults = {name: str(one.get("default", "")) for name, one in declared.items()}
        assert set(self.inputs) <= set(declared)
        return defaults | dict(self.inputs)
