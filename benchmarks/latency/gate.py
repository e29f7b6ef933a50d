"""False alarms and catches of the gate, on simulated and on recorded sessions.

python -m benchmarks.latency.gate                 # the figures of docs/gate.md
python -m benchmarks.latency.gate --plots docs    # and its curves

Every pair is two runs of 5 sessions unless said otherwise. Seeds are fixed: figures repeat exactly.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency.sessions import SLOWDOWN, recorded
from harness.measure.gate import (
    LEAST_DELTA,
    SHARED_LEAST_DELTA,
    SPREADS,
    LatencyVerdict,
    RatioEstimate,
    Sessions,
    bootstrap,
    judge,
    session_sd,
    weigh,
)

SESSIONS = 5
PAIRS = 20_000
CAUGHT = 1.03
SEED = 5
SPREAD = 0.003
SPREADS_SHOWN = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.02, 0.05, 0.1)
COUNTS = (1, 3, 5, 7, 10)
_CHUNK = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How session medians of one firmware differ; standard deviations and slopes are relative.

    `draw(random, shape)` are the offsets between sessions in units of `spread`. `jitter` is that of
    invokes within a session, of whose median 1000 samples leave 1.25 / sqrt(1000). `drift` is by
    how many spreads the first and the last session lie apart from the middle, `bad` the share of
    a bad session, at a random place in every run, of which each is slower by 3 to 30 %. `between`
    is an offset that all sessions of a run share.
    """

    draw: Callable[[np.random.Generator, tuple[int, int]], Floats]
    spread: float
    jitter: float = 0.01
    drift: float = 0.0
    bad: bool = False
    between: float = 0.0

    def runs(self, random: np.random.Generator, count: int, sessions: int) -> Floats:
        """Session medians, shape (count, sessions), around 1."""
        shape = (count, sessions)
        log = self.spread * self.draw(random, shape)
        log += self.jitter * 1.25 / np.sqrt(1000) * random.standard_normal(shape)
        if sessions > 1:
            log += self.spread * self.drift * np.linspace(-1, 1, sessions)
        log += self.between * random.standard_normal((count, 1))
        if self.bad:
            place = random.integers(sessions, size=count)
            log[np.arange(count), place] += np.log(random.uniform(1.03, 1.3, count))
        return np.exp(log)


def normal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return random.standard_normal(shape)


def heavy(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Student's t of 3 degrees of freedom: no fourth moment."""
    return random.standard_t(3, shape)


def two_speeds(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Each session is at one of two speeds, four spreads apart."""
    return random.standard_normal(shape) * 0.1 + 4.0 * random.integers(2, size=shape)


def as_recorded(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """The offsets of recorded starts of `virtual`, in units of their own robust spread."""
    log = np.log(starts())
    log -= np.median(log)
    scale = np.quantile(np.abs(log), 0.75) / 1.1503
    return random.choice(log / scale, size=shape)


def noises(spread: float) -> dict[str, Noise]:
    """The noises that the rule should bear."""
    return {
        "session offsets, normal": Noise(draw=normal, spread=spread),
        "heavy tail (t, 3 d.o.f.)": Noise(draw=heavy, spread=spread),
        "drift of 4 spreads in a run": Noise(draw=normal, spread=spread, drift=2.0),
        "1 bad session of 5 in every run": Noise(draw=normal, spread=spread, bad=True),
        "shape recorded on virtual": Noise(draw=as_recorded, spread=spread),
    }


def starts() -> Floats:
    """Recorded medians of the first session of every run, each a process of its own.

    The sessions after it begin with a reset of the same process: they share its memory layout.
    """
    return runs_of_resets()[:, 0]


def runs_of_resets() -> Floats:
    """All recorded runs in the order of recording, shape (runs, 5), the clock's stretch undone."""
    runs = {
        number: [row.p50_us / slow for row in rows]
        for slow, numbered in recorded("virtual").items()
        for number, rows in numbered.items()
    }
    return np.array([runs[number] for number in sorted(runs)])


def pairs(
    noise: Noise, count: int, sessions: int = SESSIONS, seed: int = SEED
) -> Iterator[tuple[Floats, Floats]]:
    """A/A pairs of runs, some hundred at a time."""
    random = np.random.default_rng(seed)
    chunk = _CHUNK if sessions > SESSIONS else count
    for at in range(0, count, chunk):
        size = min(chunk, count - at)
        yield noise.runs(random, size, sessions), noise.runs(random, size, sessions)


def joined(parts: list[RatioEstimate]) -> RatioEstimate:
    names = ("ratio", "low", "high", "delta", "floor", "least")
    return RatioEstimate(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def weighed(noise: Noise, count: int, sessions: int = SESSIONS) -> RatioEstimate:
    """Evidence of A/A pairs."""
    return joined([weigh(base, new) for base, new in pairs(noise, count, sessions)])


def slowed(evidence: RatioEstimate, factor: float) -> RatioEstimate:
    """The evidence of the same pairs had the new firmware been slower: all in it scales."""
    return replace(
        evidence,
        ratio=evidence.ratio * factor,
        low=evidence.low * factor,
        high=evidence.high * factor,
    )


def plain(base: Floats, new: Floats) -> RatioEstimate:
    """The rule without what was added to it: no fence, and the spread is that of sessions."""
    low, high = bootstrap(base, new)
    ratio = np.median(new, axis=-1) / np.median(base, axis=-1)
    least = np.full_like(ratio, LEAST_DELTA)
    delta = np.maximum(least, SPREADS * session_sd(base, new))
    return RatioEstimate(ratio=ratio, low=low, high=high, delta=delta, floor=least, least=least)


def plainly(noise: Noise, count: int) -> RatioEstimate:
    return joined([plain(base, new) for base, new in pairs(noise, count)])


def counted(hits: NDArray[np.bool_]) -> str:
    return f"{int(hits.sum())} of {hits.size}"


def print_simulated(count: int) -> None:
    print(f"{'noise':33}{'spread':>7}  {'false alarms':>14}  {'3 % caught':>14}  {'same':>6}")
    for spread in SPREADS_SHOWN:
        for name, noise in noises(spread).items():
            found = weighed(noise, count)
            caught = slowed(found, CAUGHT).slower
            print(
                f"{name:33}{100 * spread:6.1f}%  {counted(found.slower):>14}  "
                f"{counted(caught):>14}  {found.same.mean():6.2f}"
            )
    print(f"\nother numbers of sessions, which differ by {100 * SPREAD:.1f} %, normally")
    for sessions in (3, 5, 10):
        (share,) = _power(sessions, np.array([CAUGHT]), count)
        print(f"{sessions:2} sessions a side: 3 % caught {100 * share:.1f} times in 100")
    print("\nwithout the fence and with three session spreads")
    for spread in (0.003, 0.01, 0.05):
        for name, noise in noises(spread).items():
            found = plainly(noise, count)
            caught = slowed(found, CAUGHT).slower
            print(
                f"{name:33}{100 * spread:6.1f}%  {counted(found.slower):>14}  {counted(caught):>14}"
            )
    print("\nwhere it ceases to hold: what the sessions of a run do not show")
    for between in (0.002, 0.004, 0.005, 0.006, 0.008, 0.01):
        found = weighed(Noise(draw=normal, spread=0.002, between=between), count)
        print(f"run-to-run offset {100 * between:4.1f} %: false alarms {counted(found.slower)}")
    for spread in (0.004, 0.006, 0.01):
        found = weighed(Noise(draw=two_speeds, spread=spread), count)
        print(
            f"sessions at two speeds {400 * spread:4.1f} % apart: "
            f"false alarms {counted(found.slower)}"
        )


def resampled(values: Floats, count: int, *, blocks: bool) -> tuple[Floats, Floats]:
    """Pairs of 5 recorded starts: any, or two blocks of neighbours."""
    random = np.random.default_rng(SEED)
    if not blocks:
        places = random.permuted(np.tile(np.arange(values.size), (count, 1)), axis=1)
        return values[places[:, :SESSIONS]], values[places[:, SESSIONS : 2 * SESSIONS]]
    first = random.integers(values.size - SESSIONS, size=(count, 2))
    first = first[np.abs(first[:, 0] - first[:, 1]) >= SESSIONS]
    span = np.arange(SESSIONS)
    return values[first[:, :1] + span], values[first[:, 1:] + span]


def print_recorded(count: int) -> None:
    runs, first = runs_of_resets(), starts()
    random = np.random.default_rng(SEED)
    chosen = random.integers(len(runs), size=(count, 2))
    chosen = chosen[chosen[:, 0] != chosen[:, 1]]
    scale = np.quantile(np.abs(first / np.median(first) - 1), 0.75) / 1.1503
    print(f"\nvirtual: {first.size} starts, spread {100 * scale:.1f} %, {runs.size} sessions")
    print(
        f"slowest start {first.max() / np.median(first):.2f} times the median one; "
        f"{(first > 1.2 * np.median(first)).sum()} over 1.2 times"
    )
    kinds = {
        "any 5 starts": resampled(first, count, blocks=False),
        "5 neighbouring starts": resampled(first, count, blocks=True),
        "5 resets of one start": (runs[chosen[:, 0]], runs[chosen[:, 1]]),
    }
    for name, (base, new) in kinds.items():
        for least in (LEAST_DELTA, SHARED_LEAST_DELTA):
            found = weigh(base, new, least_delta=least)
            print(
                f"{name:23} least delta {least:4.2f}: false alarms {counted(found.slower):>13}, "
                f"caught: 3 % {slowed(found, CAUGHT).slower.mean():.3f}, "
                f"3 times {slowed(found, 3.0).slower.mean():.3f}"
            )
    slow = np.array([rows[0].p50_us for rows in recorded("virtual")[SLOWDOWN].values()])
    fast = np.array([rows[0].p50_us for rows in recorded("virtual")[1.0].values()])
    print(f"median of starts with the clock stretched by 3 %: {np.median(slow) / np.median(fast)}")


def print_exact() -> None:
    rows = [row for runs in recorded("qemu-m4").values() for run in runs.values() for row in run]
    counts = tuple(float(row.instructions_p50 or 0) for row in rows)
    base = Sessions(figures=counts[:SESSIONS], exact=True)
    verdicts = []
    for change in (0, 1, -1):
        later = [
            judge(
                base,
                Sessions(figures=tuple(c + change for c in counts[at : at + SESSIONS]), exact=True),
            ).verdict
            for at in range(SESSIONS, len(counts), SESSIONS)
        ]
        wanted = {0: LatencyVerdict.SAME, 1: LatencyVerdict.SLOWER, -1: LatencyVerdict.FASTER}[
            change
        ]
        verdicts.append(f"{change:+d} {wanted.value} {later.count(wanted)} of {len(later)}")
    print(f"\nqemu-m4: {len(counts)} sessions, counts {sorted(set(counts))}: {', '.join(verdicts)}")


def plot(folder: Path, count: int) -> None:
    import matplotlib

    matplotlib.use("svg")
    # The same picture is the same file: ids come from the salt, and no date is written.
    matplotlib.rcParams.update({"svg.hashsalt": "gate", "font.size": 9, "axes.grid": True})
    matplotlib.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False})
    matplotlib.rcParams.update({"axes.spines.right": False, "figure.figsize": (7, 4.2)})
    folder.mkdir(parents=True, exist_ok=True)
    _plot_power(folder / "gate-power.svg", count)
    _plot_spread(folder / "gate-spread.svg", count)
    _plot_false(folder / "gate-false-alarms.svg", count)


def _power(sessions: int, factors: Floats, count: int) -> list[float]:
    if sessions == 1:
        # By the rule: under 3 sessions it cannot tell.
        return [0.0 for _ in factors]
    found = weighed(Noise(draw=normal, spread=SPREAD), count, sessions)
    return [float(slowed(found, factor).slower.mean()) for factor in factors]


def _plot_power(path: Path, count: int) -> None:
    percent = np.linspace(0, 10, 81)
    fewer = max(1, count // 10)
    curves = {
        f"{n} session{'s' * (n > 1)}": _power(n, 1 + percent / 100, fewer if n > 5 else count)
        for n in COUNTS
    }
    _draw(
        path,
        percent,
        curves,
        title=f"Called slower, by slowdown (session spread {100 * SPREAD:.1f} %)",
        xlabel="true slowdown, %",
        ylabel="share of runs",
        guides=((None, 0.95), (3.0, None)),
    )


def _plot_spread(path: Path, count: int) -> None:
    spreads = np.linspace(0.0005, 0.015, 30)
    curves: dict[str, list[float]] = {name: [] for name in noises(SPREAD)}
    for spread in spreads:
        for name, noise in noises(float(spread)).items():
            caught = slowed(weighed(noise, count // 4), CAUGHT).slower
            curves[name].append(float(caught.mean()))
    _draw(
        path,
        100 * spreads,
        curves,
        title="A slowdown of 3 % called slower, by session spread (5 sessions a side)",
        xlabel="session spread, %",
        ylabel="share of runs",
        guides=((None, 0.95),),
    )


def _plot_false(path: Path, count: int) -> None:
    spreads = np.geomspace(0.001, 0.2, 24)
    curves: dict[str, list[float]] = {name: [] for name in [*noises(SPREAD), "run-to-run offset"]}
    for spread in spreads:
        unseen = Noise(draw=normal, spread=0.002, between=float(spread))
        for name, noise in (noises(float(spread)) | {"run-to-run offset": unseen}).items():
            share = float(weighed(noise, count).slower.mean())
            curves[name].append(share if share else np.nan)
    _draw(
        path,
        100 * spreads,
        curves,
        title="False alarms on identical firmware, by spread (5 sessions a side)",
        xlabel="session spread, %; for the last curve the spread between runs",
        ylabel=f"share of runs (below 1 in {count}: not drawn)",
        guides=((None, 0.001),),
        log=True,
    )


def _draw(
    path: Path,
    across: Floats,
    curves: dict[str, list[float]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    guides: tuple[tuple[float | None, float | None], ...],
    log: bool = False,
) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(layout="constrained")
    styles = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
    for (name, values), style in zip(curves.items(), styles, strict=False):
        axes.plot(across, values, label=name, linestyle=style, linewidth=1.8)
    for upright, level in guides:
        if upright is not None:
            axes.axvline(upright, color="black", linewidth=0.8)
        if level is not None:
            axes.axhline(level, color="black", linewidth=0.8)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(1e-5, 1)
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--plots", type=Path, metavar="DIR")
    options = parser.parse_args()
    print_simulated(options.pairs)
    print_recorded(options.pairs)
    print_exact()
    if options.plots is not None:
        plot(options.plots, options.pairs)


if __name__ == "__main__":
    main()
