"""How commands are hooked into the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]


Command = Callable[[Run], argparse.ArgumentParser]
"""Makes a command of a function: its name, its docstring as help; it returns the exit status."""
