"""Whether a board runs what it is expected to run, by its HELLO."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import StaleFirmware, Where
from harness.link.protocol import Hello
from harness.model.tensor import TensorSpec


def check_identity(
    hello: Hello, *, where: Where, model_sha256: str, build_id: str, runtime: str
) -> None:
    """Raise StaleFirmware unless HELLO names the expected model, build and runtime."""
    found = (
        ("model SHA-256", model_sha256, hello.model_sha256.hex()),
        ("build id", build_id, hello.build_id.hex()),
        ("runtime", runtime, hello.runtime),
    )
    for field, expected, actual in found:
        if expected != actual:
            raise StaleFirmware(where=where, field=field, expected=expected, actual=actual)


def check_tensors(
    hello: Hello,
    *,
    where: Where,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> None:
    """Raise StaleFirmware unless HELLO's tensors are the model's, in all but their names."""
    for kind, said, wanted in (
        ("input", hello.inputs, inputs),
        ("output", hello.outputs, outputs),
    ):
        if len(said) != len(wanted):
            raise StaleFirmware(
                where=where,
                field=f"number of {kind}s",
                expected=str(len(wanted)),
                actual=str(len(said)),
            )
        for number, (actual, expected) in enumerate(zip(said, wanted, strict=True), 1):
            if not actual.same_layout(expected):
                raise StaleFirmware(
                    where=where,
                    field=f"{kind} {number}",
                    expected=_described(expected),
                    actual=_described(actual),
                )


def _described(spec: TensorSpec) -> str:
    shape = "x".join(map(str, spec.shape)) or "scalar"
    return f"[{shape} {spec.dtype}, scale {spec.scale:.8g}, zero point {spec.zero_point}]"
