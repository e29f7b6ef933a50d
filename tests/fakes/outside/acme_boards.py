"""A distribution outside of the harness that brings a board."""

from pathlib import Path

BOARDS = Path(__file__).with_name("acme_boards.toml")
