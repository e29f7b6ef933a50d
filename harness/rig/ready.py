"""A board that answered HELLO with the firmware and model expected, and what that took."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import HilError, LinkTimeout, ProtocolError, Where
from harness.link.dut import Dut, check_identity
from harness.link.link import LinkOptions, attach_link_log
from harness.link.protocol import Hello
from harness.rig.flash import FlashReport
from harness.rig.recovery import Attempt, Remedy, recover


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What HELLO must show."""

    model_sha256: str
    build_id: str
    runtime: str

    def check(self, hello: Hello, where: Where) -> None:
        """Raise StaleFirmware unless HELLO shows it."""
        check_identity(
            hello,
            where=where,
            model_sha256=self.model_sha256,
            build_id=self.build_id,
            runtime=self.runtime,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A board that said the HELLO expected, and what it took to get there.

    `remedies` may bring it back when it breaks. `fresh` says that it was started for this session.
    """

    dut: Dut
    expected: Expected
    remedies: tuple[Remedy, ...] = ()
    flash: FlashReport | None = None
    escalations: tuple[Attempt, ...] = ()
    fresh: bool = False

    @property
    def port(self) -> str:
        """Where it was last."""
        return self.dut.link.where.port or ""


def greet(
    dut: Dut,
    expected: Expected,
    remedies: tuple[Remedy, ...],
    *,
    patience: LinkOptions | None = None,
    silent: tuple[type[HilError], ...] = (LinkTimeout, ProtocolError),
) -> Ready:
    """Greet a board, bring it back if it is silent, and see that it is the one expected."""
    steps: tuple[Attempt, ...] = ()
    with attach_link_log(dut.link):
        try:
            dut.greet(patience)
        except silent as error:
            if not remedies:
                raise
            steps = recover(dut, error, remedies)
        expected.check(dut.hello, dut.link.where)
    return Ready(dut=dut, expected=expected, remedies=remedies, escalations=steps)
