"""The cost of each operator of an inference, from raw ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.measure.latency import Timer
from harness.measure.tables import LayerRow
from harness.model.graph import Operator, Step
from harness.text import shortened, table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTicks:
    """Raw ticks of n observed invokes on one input: of each step (n, steps), of the whole (n,).

    `empty` (n,) and `pitch` (n,) are the cost of observing: the ticks reported for a step that does
    nothing, and the ticks from its start to the start of the next step.
    """

    steps: NDArray[np.uint32]
    whole: NDArray[np.uint32]
    empty: NDArray[np.uint32]
    pitch: NDArray[np.uint32]
    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Medians over the observed invokes; `instructions` where an emulator counts them, else None.

    Medians of the parts need not add up to the median of the whole; on an emulated board, where
    all invokes take the same, they do.
    """

    ticks: float
    us: float
    instructions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """The cost of one step, without the cost of observing it.

    `index`, `name` and `shape` are of the operator whose output the step leaves, `operator` names
    all that it stands for (`MAX_POOL_2D+RESHAPE`). `macs` are multiply-accumulates an inference.
    `macs_per_cycle` is absent on an emulated board, which knows instructions, not cycles, and
    `macs_per_instruction` on any other. `share` is the part of the whole.
    """

    index: int
    operator: str
    name: str
    shape: tuple[int, ...]
    macs: int
    cost: Cost
    macs_per_cycle: float | None
    macs_per_instruction: float | None
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The cost of an inference by operator: whole = sum of the layers + between.

    `whole` is the observed invoke without the cost of observing, `observing` that cost, `between`
    what lies between and around the steps. `n` is how many invokes were observed.
    """

    layers: tuple[LayerTime, ...]
    whole: Cost
    between: Cost
    observing: Cost
    n: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Counted:
    """Costs in one unit: of each step (n, steps), of the whole, between and of observing (n,)."""

    steps: NDArray[np.int64]
    whole: NDArray[np.int64]
    between: NDArray[np.int64]
    observing: NDArray[np.int64]


def _count(
    *,
    steps: NDArray[np.int64],
    empty: NDArray[np.int64],
    pitch: NDArray[np.int64],
    whole: NDArray[np.int64],
) -> _Counted:
    """Subtract the cost of observing.

    Each step reads `empty` too high. The whole, which already excludes its own two readings, holds
    one `pitch` for each step, which is all that observing a step costs.
    """
    net = steps - empty[:, None]
    observing = pitch * steps.shape[1]
    without = whole - observing
    return _Counted(
        steps=net, whole=without, between=without - net.sum(axis=1), observing=observing
    )


def count_ticks(raw: StepTicks) -> _Counted:
    """Net costs in ticks."""
    return _count(
        steps=raw.steps.astype(np.int64),
        empty=raw.empty.astype(np.int64),
        pitch=raw.pitch.astype(np.int64),
        whole=raw.timer.net_ticks(raw.whole),
    )


def count_instructions(raw: StepTicks, ns_per_instruction: float) -> _Counted:
    """Net costs in instructions, each difference of two readings rounded to a whole number."""
    gross = replace(raw.timer, read_ticks=0)
    return _count(
        steps=gross.instructions(raw.steps, ns_per_instruction),
        empty=gross.instructions(raw.empty, ns_per_instruction),
        pitch=gross.instructions(raw.pitch, ns_per_instruction),
        whole=raw.timer.instructions(raw.whole, ns_per_instruction),
    )


def _cost(ticks: NDArray[np.int64], hz: int, instructions: NDArray[np.int64] | None) -> Cost:
    median = float(np.median(ticks))
    counted = None if instructions is None else int(np.median(instructions))
    return Cost(ticks=median, us=median * 1e6 / hz, instructions=counted)


def check_steps(observed: int, steps: Sequence[Step]) -> None:
    """Refuse a board that observes other steps than its firmware was built with.

    Raises:
        ModelError: so many are not that many.
    """
    if observed != len(steps):
        raise ModelError(
            f"the board observed {observed} steps, its firmware was built with {len(steps)}"
        )


def profile_of(
    raw: StepTicks,
    steps: Sequence[Step],
    operators: Sequence[Operator],
    *,
    clock_hz: int,
    ns_per_instruction: float | None,
) -> Profile:
    """Compute the profile from raw ticks.

    Args:
        steps: what the firmware was built to observe.
        operators: of the model.
        clock_hz: of the CPU.
        ns_per_instruction: of an emulated board, None on silicon.

    Raises:
        ModelError: the board observed another number of steps.
    """
    check_steps(raw.steps.shape[1], steps)
    ticks = count_ticks(raw)
    counted = None if ns_per_instruction is None else count_instructions(raw, ns_per_instruction)
    hz = raw.timer.hz
    whole = _cost(ticks.whole, hz, counted.whole if counted else None)
    layers = []
    for number, step in enumerate(steps):
        cost = _cost(ticks.steps[:, number], hz, counted.steps[:, number] if counted else None)
        layers.append(_layer(step, operators, cost, whole, clock_hz))
    return Profile(
        layers=tuple(layers),
        whole=whole,
        between=_cost(ticks.between, hz, counted.between if counted else None),
        observing=_cost(ticks.observing, hz, counted.observing if counted else None),
        n=len(raw.steps),
    )


def of_sessions(profiles: Sequence[Profile]) -> Profile:
    """One profile of several sessions: medians of their medians; `n` counts all their invokes."""
    if len(profiles) == 1:
        return profiles[0]
    whole = _middle([profile.whole for profile in profiles])
    columns = zip(*(profile.layers for profile in profiles), strict=True)
    return Profile(
        layers=tuple(_layer_of_sessions(column, whole) for column in columns),
        whole=whole,
        between=_middle([profile.between for profile in profiles]),
        observing=_middle([profile.observing for profile in profiles]),
        n=sum(profile.n for profile in profiles),
    )


def _layer_of_sessions(layers: Sequence[LayerTime], whole: Cost) -> LayerTime:
    first, cost = layers[0], _middle([layer.cost for layer in layers])
    cycles = [layer.macs_per_cycle * layer.cost.us for layer in layers if layer.macs_per_cycle]
    return replace(
        first,
        cost=cost,
        macs_per_cycle=_ratio(cycles[0], cost.us) if cycles else None,
        share=_ratio(cost.ticks, whole.ticks) or 0.0,
    )


def _middle(costs: Sequence[Cost]) -> Cost:
    counts = [cost.instructions for cost in costs if cost.instructions is not None]
    return Cost(
        ticks=float(np.median([cost.ticks for cost in costs])),
        us=float(np.median([cost.us for cost in costs])),
        instructions=int(np.median(counts)) if counts else None,
    )


def step_name(step: Step, operators: Sequence[Operator]) -> str:
    """The operators that a step covers, joined by `+`."""
    return "+".join(operators[index].kind for index in step.operators)


def _layer(
    step: Step, operators: Sequence[Operator], cost: Cost, whole: Cost, clock_hz: int
) -> LayerTime:
    output = operators[step.output]
    macs = sum(operators[index].macs for index in step.operators)
    emulated = cost.instructions is not None
    cycles = cost.us * clock_hz / 1e6
    return LayerTime(
        index=output.index,
        operator=step_name(step, operators),
        name=output.name,
        shape=output.shape,
        macs=macs,
        cost=cost,
        macs_per_cycle=None if emulated else _ratio(macs, cycles),
        macs_per_instruction=_ratio(macs, cost.instructions) if cost.instructions else None,
        share=_ratio(cost.ticks, whole.ticks) or 0.0,
    )


def _ratio(part: float, whole: float) -> float | None:
    """None where there is nothing to divide by: a counter too coarse for the step."""
    return part / whole if whole > 0 else None


def shape_text(shape: tuple[int, ...]) -> str:
    """`1x28x28x8`."""
    return "x".join(map(str, shape))


def profile_table(profile: Profile) -> str:
    """A table of at most 80 columns; below it the cost between steps and of observing."""
    emulated = profile.whole.instructions is not None
    unit, rate = ("instr", "MAC/instr") if emulated else ("us", "MAC/cycle")
    rows = [
        (
            f"{layer.index:2} {shortened(layer.operator, 19)}",
            shape_text(layer.shape),
            str(layer.macs or "-"),
            _amount(layer.cost),
            f"{100 * layer.share:.1f}%",
            _rate(layer),
        )
        for layer in profile.layers
    ]
    macs = sum(layer.macs for layer in profile.layers)
    between = _ratio(profile.between.ticks, profile.whole.ticks) or 0.0
    rows += [
        ("   between", "", "", _amount(profile.between), f"{100 * between:.1f}%", ""),
        ("   whole", "", str(macs), _amount(profile.whole), "100.0%", ""),
    ]
    text = table(("   operator", "output", "MACs", unit, "share", rate), rows)
    return (
        f"{text}\nmedians of {profile.n} invokes; taken off for observing: "
        f"{_amount(profile.observing)} {unit}"
    )


def profile_from(rows: Sequence[LayerRow]) -> Profile:
    """The profile that the rows of one run hold."""
    first = rows[0]
    hz_ticks = first.p50_ticks / first.p50_us if first.p50_us else 1.0

    def cost(us: float, instructions: int | None) -> Cost:
        return Cost(ticks=us * hz_ticks, us=us, instructions=instructions)

    return Profile(
        layers=tuple(
            LayerTime(
                index=row.index,
                operator=row.operator,
                name=row.name,
                shape=tuple(map(int, row.shape.split("x"))) if row.shape else (),
                macs=row.macs,
                cost=Cost(ticks=row.p50_ticks, us=row.p50_us, instructions=row.instructions_p50),
                macs_per_cycle=row.macs_per_cycle,
                macs_per_instruction=row.macs_per_instruction,
                share=row.share,
            )
            for row in rows
        ),
        whole=cost(first.whole_us, first.whole_instructions),
        between=cost(first.between_us, first.between_instructions),
        observing=cost(first.observing_us, first.observing_instructions),
        n=first.n,
    )


def _amount(cost: Cost) -> str:
    if cost.instructions is not None:
        return str(cost.instructions)
    return f"{cost.us:.1f}" if cost.us < 1e7 else f"{cost.us:.0f}"


def _rate(layer: LayerTime) -> str:
    rate = (
        layer.macs_per_cycle if layer.macs_per_instruction is None else layer.macs_per_instruction
    )
    return f"{rate:.3f}" if rate and math.isfinite(rate) else "-"
