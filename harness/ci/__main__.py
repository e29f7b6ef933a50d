"""`python -m harness.ci measure|compare|comment`: what the steps of the action run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from harness.errors import HilError, WrongUse
from harness.names import is_name
from harness.text import printable


def measure(options: argparse.Namespace) -> int:
    """Measure a checkout into a folder; that something failed is told there, and by `compare`."""
    from harness.ci.side import measure_side
    from harness.ci.tree import DETAILS, wanted_of

    wanted = wanted_of(
        boards=options.boards,
        models=options.models,
        runtimes=options.runtime,
        tflm=options.tflm,
        extra=options.arguments,
        details=" ".join(DETAILS) if options.details is None else options.details,
    )
    venv = options.venv or options.output.with_name(f"venv-{options.output.name}")
    timeout_s = 60.0 * options.minutes
    measure_side(options.tree, options.output, wanted, timeout_s=timeout_s, venv=venv)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Compare two measured folders; write Markdown and record, and print the exit status."""
    from harness.ci.outcome import Gates, annotation, judge_sides, write_judged

    _check_name(options.name)
    gates = Gates(slower=options.fail_on_slower, larger=options.fail_on_larger)
    tables = options.output / "tables"
    judged = judge_sides(tables / "base", tables / "head", (options.base, options.head), gates)
    write_judged(judged, options.output, name=options.name, pull_request=options.pull_request)
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    verdict = printable(judged.document.verdict, 300)
    print(annotation(judged, options.name) if on_github else verdict, file=sys.stderr)
    print(judged.status)
    return 0


def comment(options: argparse.Namespace) -> int:
    """Write the comment under the pull request whose run started this workflow."""
    from harness.ci.comment import comment_of_event

    print(printable(comment_of_event(os.environ, options.name), 400))
    return 0


def _check_name(name: str) -> None:
    if not is_name(name):
        raise WrongUse(f"{printable(name)} is no name")


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, not {printable(text)}")
    return text == "true"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness.ci", description=__doc__)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure", help=measure.__doc__)
    measuring.set_defaults(run=measure)
    measuring.add_argument("--tree", type=Path, required=True)
    measuring.add_argument("--output", type=Path, required=True)
    measuring.add_argument("--venv", type=Path, help="made where the checkout needs its own")
    measuring.add_argument("--minutes", type=float, default=60.0)
    for name in ("boards", "models", "runtime", "tflm", "arguments"):
        measuring.add_argument(f"--{name}", default="")
    measuring.add_argument("--details")
    comparing = commands.add_parser("compare", help=compare.__doc__)
    comparing.set_defaults(run=compare)
    comparing.add_argument("--output", type=Path, required=True)
    comparing.add_argument("--base", default="")
    comparing.add_argument("--head", default="")
    comparing.add_argument("--name", default="hil")
    comparing.add_argument("--pull-request", type=lambda text: int(text) if text else None)
    for gate in ("slower", "larger"):
        comparing.add_argument(f"--fail-on-{gate}", type=_truth, default=gate == "slower")
    commenting = commands.add_parser("comment", help=comment.__doc__)
    commenting.set_defaults(run=comment)
    commenting.add_argument("--name", default="hil")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point; what fails is said in one line, and ends with 2."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except HilError as error:
        print(f"hil: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
