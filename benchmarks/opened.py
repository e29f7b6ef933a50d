"""Opening a board the way the benchmarks share."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness import OpenBoard, RigOptions, load_registry, open_board, resolve_model
from harness.link.link import LinkOptions
from harness.project import find_project


@contextmanager
def opened(
    board_id: str, *, model: str = "sine", port: str | None = None, link: LinkOptions | None = None
) -> Iterator[OpenBoard]:
    """A board with a committed model."""
    project = find_project()
    artifact = resolve_model(model, project.artifacts)
    options = RigOptions(port=port, link=link or LinkOptions())
    with open_board(load_registry()[board_id], artifact, project, options) as board:
        yield board
