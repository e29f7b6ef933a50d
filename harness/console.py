"""What commands say on the terminal while they work; and how modules of commands are hooked in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]
Command = Callable[[Run], argparse.ArgumentParser]
"""Makes a command of a function: its name, its docstring as help; it returns the exit status."""


def say(text: str) -> None:
    """One line of progress, at once, on standard error."""
    print(text, file=sys.stderr, flush=True)
