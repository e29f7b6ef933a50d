"""An open board: what ran on it, how it compares with its golden, and how it is brought back."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from harness.board.registry import Board
from harness.errors import HilError, ModelError, PortLost, ToolMissing, Where
from harness.firmware.build import Firmware
from harness.firmware.host import HostInterpreters
from harness.link.protocol import Place
from harness.measure.apart import differing, tolerances
from harness.measure.compare import Comparison, Culprit, compare
from harness.measure.tables import FLASH, RAM
from harness.model.artifact import Artifact
from harness.model.dataset import DataSet
from harness.model.defined import Defined, defined_outputs
from harness.model.goldens import Reading
from harness.model.interpreters import Interpreter
from harness.model.tensor import dequantize
from harness.rig.allowance import Allowance
from harness.rig.checks import Checks, Compared, HostRun, checks_for, checks_of, run_batch
from harness.rig.counting import InvokeCounter
from harness.rig.ready import Ready
from harness.rig.recovery import AGAIN, ANSWERS, ASKED, Attempt, recover
from harness.rig.sim import PinEdges
from harness.tolerance import Stated

Attribute = Callable[[Comparison, Stated], Comparison]


class OpenBoard:
    """A board that answered HELLO with the firmware and model asked for.

    `cold_ticks` is its first invoke since it was started, None if it ran before or if a measurement
    took it. `flash` is None where nothing was uploaded; `escalations` are the steps it took to make
    a silent board answer. `stated` is the tolerance that was asked for. `data` are the user's own
    samples, which `checks` takes in place of goldens and random inputs; set it before that.
    `attribute` names the operator that a difference comes from; None where firmware that shows it
    would have to be uploaded; `allowance` bounds how often it does for failures.
    """

    def __init__(
        self,
        *,
        declared: Board,
        artifact: Artifact,
        runtime: str,
        firmware: Firmware | None,
        ready: Ready,
        cold_ticks: int | None,
        stated: Stated | None = None,
    ) -> None:
        self.declared = declared
        self.artifact = artifact
        self.runtime = runtime
        self.firmware = firmware
        self.dut = ready.dut
        self.flash = ready.flash
        self.escalations = ready.escalations
        self.cold_ticks = cold_ticks
        self.stated = stated or Stated()
        self.data: DataSet | None = None
        self.attribute: Attribute | None = None
        self.allowance = Allowance()
        self._ready = ready
        self.session = uuid.uuid4().hex[:12]
        self.references = HostInterpreters(artifact)

    @property
    def port(self) -> str:
        """Its port, or the last one if that is lost."""
        return self._ready.port

    @property
    def model_in(self) -> str | None:
        """Where the model lies: RAM, if it was brought over the link, or FLASH.

        None: in the memory of a process, for the virtual board with a model of its own.
        """
        room = self.dut.hello.room
        if room is not None and room.place is Place.RAM:
            return RAM
        return None if self.declared.attachment == "virtual" else FLASH

    def recover(self, error: HilError) -> tuple[Attempt, ...]:
        """Recover the board after an error of the link, by the remedies alone.

        Raises:
            BoardSilent: nothing helped.
            StaleFirmware: it came back with other firmware.
        """
        steps = recover(self.dut, error, self._ready.remedies)
        self.escalations += steps
        self._ready.expected.check(self.dut.hello, self.dut.link.where)
        return steps

    def recover_in_run(self, error: HilError) -> tuple[Attempt, ...]:
        """As `recover`, but with HELLO first: the cause, such as a stall, may be over by now.

        Returns:
            What was done, ending with the step that helped.
        """
        self.cold_ticks = None
        try:
            if isinstance(error, PortLost):
                self.dut.link.reopen()
            self.dut.greet(AGAIN)
        except HilError as last:
            return self.recover(last)
        self._ready.expected.check(self.dut.hello, self.dut.link.where)
        step = Attempt(action=ASKED, result=ANSWERS)
        self.escalations += (step,)
        return (step,)

    def take_cold(self) -> int | None:
        """Ticks of the first invoke since the board was started; None when asked a second time."""
        cold_ticks, self.cold_ticks = self.cold_ticks, None
        return cold_ticks

    @property
    def counter(self) -> InvokeCounter:
        """Counts the instructions of each invoke; with RigOptions(functions=True) only."""
        assert self._ready.counter is not None, "not asked for"
        return self._ready.counter

    @property
    def edges(self) -> PinEdges | None:
        """Edges of the pin that marks windows; None where only an instrument sees them."""
        return self._ready.edges

    def reset(self) -> None:
        """Reset the board and check that it runs the same firmware.

        Raises:
            StaleFirmware: it came back with other firmware.
        """
        self.dut.reset()
        self._ready.expected.check(self.dut.hello, self.dut.link.where)

    @cached_property
    def checks(self) -> Checks:
        """Inputs that the board is compared on, and what is known of their outputs."""
        if self.data is not None:
            return checks_of(self.data, self.artifact)
        return checks_for(self.artifact)

    def comparison(self) -> Comparison:
        """Compares the board's outputs for all check inputs with the golden.

        Only the first call runs them on the board, which takes seconds for a slow model. Where
        outputs differ, they are run again, and on other interpreters, to say what is at fault.
        """
        return self.compared().result

    def attributed(self) -> Comparison:
        """The comparison, which also says which operator differs if kernels are at fault.

        That takes two more builds, which `allowance` bounds, and is said of an emulated board
        alone.
        """
        result = self.comparison()
        known = result.culprit is not Culprit.KERNEL or result.attribution
        if self.attribute is None or known:
            return result
        if not self.allowance.take():
            return replace(result, attribution=self.allowance.refusal)
        return self.attribute(result, self.stated)

    def compared(self) -> Compared:
        """The comparison and the outputs compared; only the first call runs them on the board."""
        return self._compared

    @cached_property
    def _compared(self) -> Compared:
        checks = self.checks
        answered = Reading(
            source=f"board {self.declared.id}", outputs=self.dut.infer(checks.inputs).samples
        )
        judge, stored = self._judges()
        repeated: tuple[Reading, ...] = ()
        others: tuple[Reading, ...] = ()
        allowed = tolerances(self.stated, self.dut.gives)
        defined = self.defined
        if len(differing(defined.of(answered.outputs), defined.of(judge.outputs), allowed)):
            repeated = (
                Reading(source="staged", outputs=self.dut.infer_staged(checks.inputs).samples),
                Reading(source="repeated", outputs=self.dut.infer(checks.inputs).samples),
            )
            others = self._opinions()
        goldens = checks.goldens
        float_outputs = goldens.float_outputs if goldens else None
        alone = len(self.dut.takes.specs) == len(self.dut.gives.specs) == 1
        if alone and float_outputs is None and self.references.float32 is not None:
            reals = dequantize(self.dut.takes.columns(checks.inputs)[0], self.dut.input)
            float_outputs = run_batch(
                self.references.float32, reals, self.artifact.inputs[0]
            ).outputs
        result = compare(
            spec=self.dut.gives,
            stated=self.stated,
            board=answered,
            golden=judge,
            stored=stored,
            repeated=repeated,
            others=others,
            float_outputs=float_outputs,
            truth=checks.truth,
            in_domain=goldens.in_domain if goldens else None,
            bounds=self.artifact.bounds,
            labels=checks.labels,
            activation=self.artifact.activation,
            defined=self.defined,
        )
        result = replace(result, inputs=checks.source)
        if self.attribute and result.within and self.stated.operators:
            result = self.attribute(result, self.stated)
        return Compared(result=result, board=answered, golden=judge, float_outputs=float_outputs)

    @cached_property
    def defined(self) -> Defined:
        """What of the model's outputs is defined: nothing else is compared."""
        return defined_outputs(self.artifact.content, self.dut.gives)

    @property
    def host_p50_us(self) -> float | None:
        """Median microseconds of TFLM on the host over the check inputs; None without the wheel."""
        run = self._golden_run
        return None if run is None else float(statistics.median(run.latency_us.tolist()))

    @cached_property
    def _golden_run(self) -> HostRun | None:
        golden = self.references.golden
        return None if golden is None else self._host_run(golden)

    def _host_run(self, interpreter: Interpreter) -> HostRun:
        with self.dut.progress(f"{self.declared.id}: the same on this machine"):
            return run_batch(interpreter, self.checks.inputs, self.dut.takes, self.dut.gives)

    def _opinions(self) -> tuple[Reading, ...]:
        """What LiteRT says, as far as it takes the file: it refuses some that TFLM runs."""
        found = []
        for kind in ("litert", "xnnpack"):
            try:
                found.append(self._host_run(getattr(self.references, kind)).reading)
            except (ModelError, ToolMissing):
                continue
        return tuple(found)

    def _judges(self) -> tuple[Reading, Reading | None]:
        goldens = self.checks.goldens
        stored = None
        if goldens is not None:
            stored = Reading(source=f"stored {goldens.produced_by}", outputs=goldens.outputs)
        if self._golden_run is not None:
            return self._golden_run.reading, stored
        if stored is None:
            raise ModelError(
                "nothing to compare with: the file has no stored goldens, and there is no "
                "tflite-micro wheel on this machine",
                where=Where(board=self.declared.id, model=self.artifact.name),
            )
        return stored, None
