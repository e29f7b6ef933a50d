"""The records of the CSV tables; docs/csv.md says what each column means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

SESSION, RUN = "session", "run"
"""Scopes of a row: one start of a board, or all sessions of a run taken together."""


FLASH, RAM = "flash", "ram"
"""Where a model lay: linked in, or brought over the link."""

GOLDEN_INPUTS = "goldens"
"""`check_inputs` where the inputs compared are those stored with the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """A row of `latency.csv`: one session of a board, or with scope `run` all sessions of a run.

    A session that was lost has an `error` and no statistics.
    """

    time_utc: str
    git_commit: str | None
    session: str
    board: str
    board_uid: str | None
    port: str
    mcu: str
    clock_hz: int
    emulated: bool
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str
    flash_bytes: int | None
    ram_bytes: int | None
    arena_used_bytes: int | None
    reference: str | None = None
    samples: int | None = None
    mismatches: int | None = None
    max_abs_lsb: float | None = None
    mae_vs_float: float | None = None
    max_abs_vs_truth: float | None = None
    retries: int = 0
    n: int | None = None
    warmup: int | None = None
    cold_us: float | None = None
    min_us: float | None = None
    p50_us: float | None = None
    mad_us: float | None = None
    mean_us: float | None = None
    p95_us: float | None = None
    p99_us: float | None = None
    max_us: float | None = None
    instructions_p50: int | None = None
    host_p50_us: float | None = None
    verdict: str | None = None
    kernels: str | None = None
    tick_hz: int | None = None
    timer_step_ticks: int | None = None
    timer_read_ticks: int | None = None
    accuracy: float | None = None
    golden_accuracy: float | None = None
    link_us: float | None = None
    scope: str = SESSION
    run: str | None = None
    session_number: int | None = None
    sessions: int | None = None
    sessions_lost: int | None = None
    began: str | None = None
    error: str | None = None
    host: str | None = None
    harness_version: str | None = None
    compiler: str | None = None
    flags: str | None = None
    std_us: float | None = None
    session_p50_us: float | None = None
    cold_instructions: int | None = None
    clock_ppm: float | None = None
    clock_ppm_error: float | None = None
    clock_check: str | None = None
    stack_bytes: int | None = None
    stack_used_bytes: int | None = None
    flash_model_bytes: int | None = None
    flash_runtime_bytes: int | None = None
    flash_kernels_bytes: int | None = None
    flash_harness_bytes: int | None = None
    flash_rest_bytes: int | None = None
    ram_model_bytes: int | None = None
    ram_runtime_bytes: int | None = None
    ram_kernels_bytes: int | None = None
    ram_harness_bytes: int | None = None
    ram_rest_bytes: int | None = None
    baseline_run: str | None = None
    baseline_verdict: str | None = None
    baseline_ratio: float | None = None
    baseline_low: float | None = None
    baseline_high: float | None = None
    baseline_rule: str | None = None
    tolerance: str | None = None
    within_tolerance: int | None = None
    max_ulp: int | None = None
    wrong_outputs: str | None = None
    check_inputs: str | None = None
    state: str | None = None
    n_rule: str | None = None
    interrupts: str | None = None
    macs: int | None = None
    model_in: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """A row of `samples.csv`: one timed invoke. `us` is without the cost of reading the counter."""

    run: str
    session_number: int
    board: str
    runtime: str
    model: str
    dtype: str
    index: int
    ticks: int
    us: float
    instructions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRow:
    """A row of `outputs.csv`: one element of one output, from the board and from the golden.

    `x` is the input where it is one number. `board` and `golden` are as the board sent them,
    `board_real` to `truth` in the model's unit. `label` is the class of a classifier's sample.
    `output` is the output's name, or its position, where the model has several.
    """

    run: str
    board: str
    runtime: str
    model: str
    dtype: str
    sample: int
    element: int
    x: float | None
    board_raw: float
    golden_raw: float
    board_real: float
    golden_real: float
    float_real: float | None
    truth: float | None
    label: int | None = None
    output: str | None = None


def time_text(when: datetime) -> str:
    """A time in UTC in the form of the columns `time_utc`."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime | None:
    """A time of a row; None if it is none, or in a year that pandas or matplotlib cannot hold."""
    try:
        # Python 3.10 does not know that Z is UTC.
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if not 1970 <= when.year < 2262:
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """A row of `memory.csv`: what one owner takes in one section of a firmware."""

    run: str
    time_utc: str
    board: str
    runtime: str
    model: str
    dtype: str
    firmware_build: str
    section: str
    owner: str
    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """A row of `layers.csv`: one step of one profiled run. None is an empty cell.

    Statistics are medians over `n` observed invokes. `whole_us`, `between_us` and `observing_us`
    are the run's, repeated in each row, as instructions where an emulator counts them.
    `session_p50_us` and `session_between_us` have one figure for each session, with spaces between.
    """

    run: str
    time_utc: str
    board: str
    emulated: bool
    clock_hz: int
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str
    index: int
    operator: str
    name: str
    shape: str
    macs: int
    n: int
    p50_ticks: float
    p50_us: float
    instructions_p50: int | None
    macs_per_cycle: float | None
    macs_per_instruction: float | None
    share: float
    whole_us: float
    between_us: float
    observing_us: float
    whole_instructions: int | None
    between_instructions: int | None
    observing_instructions: int | None
    sessions: int | None = None
    session_p50_us: str | None = None
    session_between_us: str | None = None
    timer_step_us: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """A row of `operators.csv`: an operator of a profiled run against its baseline's.

    `index` is None where the operator went and `index_before` where it appeared; both are None for
    what lies between the operators, and for `PROFILE`, a profile that could not be compared.
    Figures of before and now are medians of session medians, or exact counts where both are.
    """

    run: str
    time_utc: str
    board: str
    emulated: bool
    runtime: str
    model: str
    dtype: str
    index: int | None
    index_before: int | None
    operator: str
    name: str
    shape: str
    before_us: float | None
    now_us: float | None
    before_instructions: int | None
    now_instructions: int | None
    verdict: str
    ratio: float | None
    low: float | None
    high: float | None
    rule: str
    baseline_run: str | None


BETWEEN, PROFILE = "between", "profile"
"""In the place of an operator: what lies between the steps, and the profile as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRow:
    """A row of `functions.csv`: what one function took in one invoke that an emulator counted.

    `load` to `other` are the kinds of its own `instructions`. `whole_instructions` is the invoke's
    and `timed_instructions` what the board's counter says of it, repeated in each row.
    """

    run: str
    time_utc: str
    board: str
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str
    function: str
    symbol: str
    owner: str
    size_bytes: int
    calls: int
    instructions: int
    with_callees: int
    load: int
    store: int
    alu: int
    multiply: int
    divide: int
    branch: int
    fpu: int
    simd: int
    other: int
    whole_instructions: int
    timed_instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A row of `calls.csv`: a function as called along one path; `parent` has the `index` of the
    path that called it. None is an empty cell.
    """

    run: str
    board: str
    runtime: str
    model: str
    dtype: str
    index: int
    parent: int | None
    function: str
    calls: int
    instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """A row of `evaluation.csv`: one output of a data set through a board. None is an empty cell.

    `metric` is what `value` to `high`, `host_value` and `float_value` are. `confusion` has the
    rows of the matrix with `/` between them and spaces between counts, `classes` the names with
    `|` between them.
    """

    run: str
    time_utc: str
    git_commit: str | None
    board: str
    board_uid: str | None
    port: str | None
    emulated: bool | None
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str | None
    data: str
    data_sha256: str
    data_samples: int
    inputs: str
    samples: int
    metric: str | None
    value: float | None
    low: float | None
    high: float | None
    rmse: float | None
    rmse_low: float | None
    rmse_high: float | None
    reference: str | None
    host_value: float | None
    disagreements: int | None
    other_class: int | None
    max_abs_lsb: float | None
    tolerance: str | None
    float_value: float | None
    float_changed: int | None
    float_lost: int | None
    float_gained: int | None
    resumed_at: int
    recoveries: int
    retries: int
    seconds: float
    saved: str | None
    verdict: str | None
    classes: str | None
    confusion: str | None
    output: str | None = None
    state: str | None = None
    sequences: int | None = None
    detector: str | None = None
    hits: int | None = None
    misses: int | None = None
    false_accepts: int | None = None
    quiet_s: float | None = None
    recall: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None
    false_accepts_per_hour: float | None = None
    false_accepts_per_hour_low: float | None = None
    false_accepts_per_hour_high: float | None = None
    host_hits: int | None = None
    host_false_accepts: int | None = None


MEASURED, UNKNOWN, FAILED = "measured", "cannot tell", "meter failed"
"""Outcomes of a row of energy.csv."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRow:
    """A row of `energy.csv`: one session of a board with a meter, or with scope `run` all of them.

    `outcome` is MEASURED; UNKNOWN, whose `reason` says why, with the figures as far as there are
    any; or FAILED, of the meter. Energies are of one inference; those named `_u_` are expanded
    uncertainties (k = 2). None is an empty cell.
    """

    run: str
    time_utc: str
    git_commit: str | None
    scope: str
    session: str | None
    session_number: int | None
    sessions: int | None
    board: str
    board_uid: str | None
    port: str
    mcu: str
    clock_hz: int
    emulated: bool
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str
    flags: str | None
    host: str | None
    harness_version: str | None
    meter: str
    meter_serial: str | None
    meter_firmware: str | None
    meter_calibrated: str | None
    simulated: bool
    outcome: str
    reason: str | None = None
    volts: float | None = None
    rate_hz: float | None = None
    samples: int | None = None
    lost: int | None = None
    mean_ua: float | None = None
    charge_uc: float | None = None
    gross_uj: float | None = None
    gross_u_uj: float | None = None
    net_uj: float | None = None
    net_u_uj: float | None = None
    idle_uw: float | None = None
    idle_u_uw: float | None = None
    idle_subtracted: bool | None = None
    energy_uj: float | None = None
    energy_u_uj: float | None = None
    run_u_uj: float | None = None
    most_share: float | None = None
    range_shares: str | None = None
    found_by: str | None = None
    windows: int | None = None
    window_s: float | None = None
    inferences: int | None = None
    invoke_us: float | None = None
    session_uj: str | None = None
    model_in: str | None = None
    baseline_run: str | None = None
    baseline_verdict: str | None = None
    baseline_ratio: float | None = None
    baseline_low: float | None = None
    baseline_high: float | None = None
    baseline_rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRow:
    """A row of `currents.csv`: a stretch of samples of one window and of what is around it.

    `begin_us` counts from the window's begin, and is below 0 before. `low_ua` to `high_ua` are the
    smallest, the mean and the largest sample; `inside` says whether it is of the window.
    """

    run: str
    board: str
    runtime: str
    model: str
    dtype: str
    index: int
    begin_us: float
    low_ua: float
    mean_ua: float
    high_ua: float
    inside: bool


TABLES: dict[str, type[Any]] = {
    "latency": LatencyRow,
    "samples": SampleRow,
    "outputs": OutputRow,
    "layers": LayerRow,
    "operators": OperatorRow,
    "functions": FunctionRow,
    "calls": CallRow,
    "memory": MemoryRow,
    "evaluation": EvaluationRow,
    "energy": EnergyRow,
    "currents": CurrentRow,
}
"""Records by the names of their files."""

MODEL, RUNTIME, KERNELS, HARNESS, REST = "model", "runtime", "kernels", "harness", "rest"


OWNERS = (MODEL, RUNTIME, KERNELS, HARNESS, REST)
