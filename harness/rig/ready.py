"""A board that answered HELLO with the firmware and model expected: the check and the record."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import HilError, LinkTimeout, ModelRefused, ProtocolError, Where
from harness.link.dut import Dut
from harness.link.identity import check_identity, check_tensors
from harness.link.link import LinkOptions, attach_link_log
from harness.link.protocol import Hello, Status
from harness.model.tensor import TensorSpec
from harness.rig.counting import InvokeCounter
from harness.rig.flash import FlashReport
from harness.rig.recovery import Attempt, Remedy, recover
from harness.rig.sim import PinEdges


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The model, build and runtime that HELLO must name, and the model's tensors."""

    model_sha256: str
    build_id: str
    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def check(self, hello: Hello, where: Where) -> None:
        """Raise StaleFirmware if HELLO names another model, build or runtime, or other tensors."""
        check_identity(
            hello,
            where=where,
            model_sha256=self.model_sha256,
            build_id=self.build_id,
            runtime=self.runtime,
        )
        if hello.status is Status.OK:  # Else it need not know any.
            check_tensors(hello, where=where, inputs=self.inputs, outputs=self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A board whose HELLO was the one expected.

    `flash` reports an upload, if there was one; `escalations` are the attempts that it took to make
    a silent board answer. `remedies` may bring it back when it falls silent later. `fresh` says
    that it was started for this session. `counter` counts its instructions, if that was asked for.
    `edges` are those of the pin that marks windows, of a simulated chip that tells them.
    """

    dut: Dut
    expected: Expected
    remedies: tuple[Remedy, ...] = ()
    flash: FlashReport | None = None
    escalations: tuple[Attempt, ...] = ()
    fresh: bool = False
    counter: InvokeCounter | None = None
    edges: PinEdges | None = None

    @property
    def port(self) -> str:
        """Its port, or the last one if that is lost."""
        return self.dut.link.where.port or ""


def greet(
    dut: Dut,
    expected: Expected,
    remedies: tuple[Remedy, ...],
    *,
    patience: LinkOptions | None = None,
    silent: tuple[type[HilError], ...] = (LinkTimeout, ProtocolError),
) -> Ready:
    """Send HELLO, try the remedies if the board is silent, and check what it runs."""
    steps: tuple[Attempt, ...] = ()
    with attach_link_log(dut.link):
        try:
            dut.greet(patience)
        except ModelRefused:
            # Another build's model is not the one asked for: that it is refused says nothing.
            expected.check(dut.hello, dut.link.where)
            raise
        except silent as error:
            if not remedies:
                raise
            steps = recover(dut, error, remedies)
        expected.check(dut.hello, dut.link.where)
    return Ready(dut=dut, expected=expected, remedies=remedies, escalations=steps)
