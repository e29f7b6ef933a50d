"""Which runtimes there are: the harness's own, and those that installed distributions bring.

A distribution brings one by an entry point of GROUP, whose name is the runtime's id: so nothing of
it is imported before it is used. `harness.firmware.runtimes` loads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import RigError, UnknownName
from harness.names import NAME_RULE, is_name
from harness.text import printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "tinyml_hil.runtimes"
TFLM, AOT = "tflm", "aot"
OWN = (TFLM, AOT)
"""Runtimes of the harness itself, which no distribution replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedRuntime:
    """A runtime of a distribution, not yet imported."""

    id: str
    distribution: str
    version: str
    point: EntryPoint

    def __str__(self) -> str:
        return f"runtime {printable(self.id, 40)} of distribution {self.distribution}"


def added_runtimes() -> tuple[AddedRuntime, ...]:
    """Every entry point of the group, whether or not it can be used, in the order of ids."""
    from importlib.metadata import entry_points  # 0.02 s

    found = (_added(point) for point in entry_points(group=GROUP))
    return tuple(sorted(found, key=lambda added: (added.id, added.distribution)))


def _added(point: EntryPoint) -> AddedRuntime:
    return AddedRuntime(
        id=point.name,
        distribution=printable(point.dist.name if point.dist else point.value, 60),
        version=printable(point.dist.version if point.dist else "", 40),
        point=point,
    )


def fault_of(added: AddedRuntime, others: tuple[AddedRuntime, ...]) -> str:
    """Why an entry point cannot be used, as far as its name tells; empty if it can.

    Args:
        others: all that there are.
    """
    if not is_name(added.id):
        return f"its id must be {NAME_RULE}"
    if added.id in OWN:
        return f"the harness has a runtime {added.id} of its own"
    same = sorted({other.distribution for other in others if other.id == added.id})
    if len(same) > 1:
        return f"the distributions {' and '.join(same)} both have one of this id: uninstall one"
    return ""


def runtime_ids() -> tuple[str, ...]:
    """Ids of all runtimes that can be asked for: the harness's own first."""
    added = (item.id for item in added_runtimes())
    return (*OWN, *dict.fromkeys(name for name in added if is_name(name) and name not in OWN))


def is_runtime(runtime: str) -> bool:
    """Whether there is a runtime of this id. Distributions are looked at for others' alone."""
    return runtime in OWN or runtime in runtime_ids()


def added_runtime(runtime: str) -> AddedRuntime:
    """The distribution's runtime of an id.

    Raises:
        UnknownName: there is none.
        RigError: two distributions have one of this id.
    """
    everything = added_runtimes()
    for added in everything:
        if added.id == runtime:
            if fault := fault_of(added, everything):
                raise RigError(f"{added} cannot be used: {fault}")
            return added
    raise UnknownName("runtime", runtime, list(runtime_ids()))
