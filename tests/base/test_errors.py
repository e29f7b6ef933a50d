from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from harness import errors
from harness.errors import (
    BoardBusy,
    BoardRebooted,
    BoardStatus,
    BoardTalks,
    BuildFailed,
    HilError,
    LinkTimeout,
    ModelError,
    ModelRefused,
    PortLost,
    ProtocolError,
    SlowerThanBaseline,
    StaleFirmware,
    StartFailed,
    TensorError,
    ToolMissing,
    UnknownName,
    Where,
    fault_in,
)

WHERE = Where(board="nano33ble", port="/dev/ttyACM0", model="sine_int8")
PLACE = "(board nano33ble, port /dev/ttyACM0, model sine_int8)"


def timeout(received: bytes, attempts: int = 1, **more: Any) -> LinkTimeout:
    return LinkTimeout(
        where=WHERE, in_flight="INFER", timeout_s=2.0, attempts=attempts, received=received, **more
    )


# Longer than what is shown of other text: its pc is at the end.
FAULT = (
    "firmware fault: HardFault (UsageFault) ipsr=0x00000003 cfsr=0x00010000 hfsr=0x40000000 "
    "exc_return=0xfffffff9 sp=0x2001ffb8 pc=0x08006084 lr=0x08001234 xpsr=0x61000000 r0=0x00000001"
)
TEXTS = {
    "busy": (
        BoardBusy(where=WHERE, holder="pytest (pid 7)", waited_s=1.5),
        f"board is in use by pytest (pid 7); waited 1.5 s {PLACE}.\n"
        "Wait for it, stop it, or allow more time with --hil-lock-timeout.",
    ),
    "tool": (
        ToolMissing("gcc", needed_for="firmware", install="apt install gcc"),
        "gcc not found; firmware needs it.\nInstall it: apt install gcc",
    ),
    "build": (
        BuildFailed(where=WHERE, first_errors=["a.c:1: error: x", "b"], log="/tmp/log"),
        f"firmware build failed {PLACE}.\n  a.c:1: error: x\n  b\nFull log: /tmp/log",
    ),
    "start": (
        StartFailed("emulator did not start", where=WHERE, hint="Look."),
        f"emulator did not start {PLACE}.\nLook.",
    ),
    "lost": (
        PortLost("link lost (gone)", where=WHERE, in_flight="RUN", hint="Unplugged?"),
        f"link lost (gone) during RUN {PLACE}.\nUnplugged?",
    ),
    "timeout": (
        timeout(bytes.fromhex("00071f")),
        f"no reply to INFER within 2 s {PLACE}.\nReceived 3 bytes: 00 07 1f. "
        "Is the firmware current, and the board not reset or unplugged?",
    ),
    "lost bursts": (
        timeout(b"", greeted=True, burst_bytes=1030),
        f"no reply to INFER within 2 s {PLACE}.\nReceived nothing. HELLO was answered before, so "
        "its firmware speaks; this took a burst of 1030 bytes. Do bursts get lost on the line? "
        "Lower HIL_MAX_PAYLOAD in the board's environment (platformio.ini), or check its cable, "
        "hub and baud rate.",
    ),
    "silence after HELLO": (
        timeout(b"", greeted=True, burst_bytes=20),
        f"no reply to INFER within 2 s {PLACE}.\nReceived nothing. HELLO was answered before: "
        "was the board reset or unplugged since, or did it hang?",
    ),
    "silence": (
        timeout(b"", attempts=3),
        f"no reply to INFER within 2 s in 3 attempts {PLACE}.\nReceived nothing. "
        "Is the firmware current, and the board not reset or unplugged?",
    ),
    "protocol": (ProtocolError("bad frame", where=WHERE), f"bad frame {PLACE}."),
    "talk": (
        BoardTalks(
            where=WHERE, in_flight="HELLO", count=1200, seconds=2.004, received=b"t=\x1b21\r\n" * 99
        ),
        "the board talks without being asked: 1200 bytes in 2 s during HELLO, and no answer "
        f'{PLACE}.\nIt says "'
        + (r"t=\x1b21\r\n" * 99)[:98]
        + '..".\nLikely it runs another sketch, prints a boot log (does it reset again and again?)'
        ", or has another baud rate. Put this firmware on it: hil flash --board nano33ble",
    ),
    "text": (
        timeout(b"Guru Meditation Error\r\n", greeted=True, burst_bytes=20),
        f"no reply to INFER within 2 s {PLACE}.\nReceived 23 bytes: "
        r'"Guru Meditation Error\r\n". HELLO was answered before: '
        "was the board reset or unplugged since, or did it hang?",
    ),
    "fault": (
        timeout(b"\0\x1f\0\0" + FAULT.encode() + b"\n", greeted=True, burst_bytes=1030),
        f'no reply to INFER within 2 s {PLACE}.\nIt faulted, and said: "{FAULT}". '
        "Its addresses are those of the firmware's ELF file.",
    ),
    "rebooted by a fault": (
        BoardRebooted(where=WHERE, in_flight="INFER", fault="abort() was called at PC 0x400d1a2b"),
        f"board rebooted during INFER {PLACE}.\nIt faulted, and said: "
        '"abort() was called at PC 0x400d1a2b". '
        "Its addresses are those of the firmware's ELF file.",
    ),
    "status": (
        BoardStatus(where=WHERE, op="WRITE", status="bad_value", detail=4, field="offset"),
        f"board refused WRITE: bad_value, field offset, detail 4 {PLACE}.",
    ),
    "bare status": (
        BoardStatus(where=WHERE, op="RUN", status="unsupported", detail=0, field=""),
        f"board refused RUN: unsupported {PLACE}.",
    ),
    "rebooted": (
        BoardRebooted(where=WHERE, in_flight="RUN"),
        f"board rebooted during RUN {PLACE}.\n"
        "Check its power supply, its watchdog and the output of its fault handler.",
    ),
    "stale": (
        StaleFirmware(where=WHERE, field="build id", expected="aa", actual="bb"),
        f"board runs different firmware than the one just built: build id is bb, "
        f"expected aa {PLACE}.\n"
        "It holds other firmware or another model: build and upload this one again.",
    ),
    "model": (ModelError("corrupt"), "corrupt."),
    "refused": (
        ModelRefused(where=WHERE, op="setup", status="arena_too_small", note="it has 12 bytes "),
        "this model cannot run on the board: its interpreter answered setup with "
        f"arena_too_small: it has 12 bytes {PLACE}.\n"
        "Give it a larger arena, --hil-arena BYTES, or take a smaller model.",
    ),
    "refused without a note": (
        ModelRefused(where=WHERE, op="INFER", status="invoke_failed"),
        "this model cannot run on the board: its interpreter answered INFER with invoke_failed "
        f"{PLACE}.\nSee what TFLM says of the model on this machine: hil inspect FILE",
    ),
    "tensor": (TensorError("NaN", where=Where(model="sine")), "NaN (model sine)."),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_says_what_happened_where_and_what_to_do(name: str) -> None:
    error, text = TEXTS[name]
    assert str(error) == text


def test_what_was_tried_with_a_board_that_talks_stands_at_the_end() -> None:
    error = BoardTalks(where=WHERE, in_flight="HELLO", count=9, seconds=2, received=b"hello")
    error.steps = ("open the port again: no", "RESET request: no")
    assert str(error).endswith(
        "\nTried, in this order:\n  open the port again: no\n  RESET request: no"
    )


def test_no_control_character_leaves_an_error() -> None:
    evil = "a\x1b[2J\r\n::error::b"
    error = ProtocolError(evil, where=Where(board=evil, port=evil, model=evil), hint=evil)
    for text in (str(error), error.what):
        assert not set(text) & {"\x1b", "\r"} and "\n::" not in text
    assert r"(board a\x1b[2J\r\n\u003a:error::b, port" in str(error)


def test_unknown_name_lists_the_known_in_order() -> None:
    error = UnknownName("board", "qemu", ["virtual", "qemu-m4"])
    assert str(error) == "unknown board 'qemu'; known: qemu-m4, virtual."
    assert error.known == ["qemu-m4", "virtual"]
    assert str(UnknownName("model", "x", [])) == "unknown model 'x'; known: none."


def test_timeout_shows_at_most_24_bytes_and_carries_all() -> None:
    error = timeout(bytes(range(30)))
    assert "Received 30 bytes: 00 01" in str(error) and " 17. Is" in str(error)
    assert error.received == bytes(range(30))


def test_errors_carry_their_facts() -> None:
    error = BoardStatus(where=WHERE, op="RUN", status="bad_input", detail=5, field="input_crc")
    facts = (error.op, error.status, error.detail, error.field, error.where)
    assert facts == ("RUN", "bad_input", 5, "input_crc", WHERE)


def test_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for line in inspect.getdoc(errors).splitlines():
        if found := re.match(r"((?:\|   |    )*)(\+-- )?([A-Z]\w+Error|[A-Z]\w+)(\s{2,}|$)", line):
            depth = len(found[1]) // 4 + bool(found[2])
            if not drawn:
                base = depth
            path[depth - base :] = [found[3]]
            drawn[found[3]] = path[-2] if len(path) > 1 else None
    classes = {
        name: cls.__base__.__name__ if cls is not HilError else None
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, Exception)
    }
    assert drawn == classes


def test_slower_than_baseline_names_ratio_rule_and_the_way_out() -> None:
    error = SlowerThanBaseline(
        where=WHERE, ratio=1.05, low=1.04, high=1.06, rule="ratio 1.05, of 5", baseline="run abc"
    )
    assert str(error) == (
        f"1.05 times its baseline, run abc {PLACE}.\nRatio 1.05, of 5.\nIf this is intended, "
        "make this run the baseline: hil baseline save --replace"
    )


def test_words_of_a_fault_handler_are_found_in_what_else_a_board_sends() -> None:
    panic = b"Guru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled."
    assert fault_in(b"\x07\0" + panic + b"\r\n\r\nCore  1 register dump:\r\n") == panic.decode()
    assert fault_in(b"firmware fault: " + b"x" * 9999) == "firmware fault: " + "x" * 304
    assert fault_in(b"firmware fault: a\x1b[31mb") == "firmware fault: a"
    assert fault_in(b"no fault") == "" and timeout(b"no fault").fault == ""
