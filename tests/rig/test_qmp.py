from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from harness.rig.qmp import MOST_BYTES, Qmp, QmpError

GREETING = {"QMP": {"version": {}}}
READY = {"return": {}, "id": 1}


@pytest.fixture
def ends() -> Iterator[tuple[Qmp, socket.socket]]:
    """A client, and QEMU's end of its connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Qmp(ours), theirs


def say(end: socket.socket, *messages: object) -> None:
    for message in messages:
        end.sendall(json.dumps(message).encode() + b"\r\n")


def test_events_and_late_answers_are_passed_over(ends: tuple[Qmp, socket.socket]) -> None:
    qmp, qemu = ends
    say(qemu, GREETING, READY, {"event": "RESET"})
    qmp.greet(10)
    qmp.greet(10)  # Once is enough.
    with pytest.raises(QmpError, match=r"no answer within 0.01 s"):
        qmp.run("stop", timeout_s=0.01)
    say(qemu, {"return": "late", "id": 2}, {"event": "STOP"}, {"return": "x", "id": 3})
    assert qmp.run("cont", {"a": 1}, timeout_s=10) == "x"
    asked = [json.loads(line) for line in qemu.recv(10_000).splitlines()]
    assert [item["execute"] for item in asked] == ["qmp_capabilities", "stop", "cont"]
    assert asked[2]["arguments"] == {"a": 1}


def test_refusal_says_why(ends: tuple[Qmp, socket.socket]) -> None:
    qmp, qemu = ends
    say(qemu, {"error": {"class": "CommandNotFound", "desc": "no such command"}, "id": 1})
    with pytest.raises(QmpError, match="no such command"):
        qmp.run("fly", timeout_s=10)


def test_qemu_that_is_gone_is_an_error(ends: tuple[Qmp, socket.socket]) -> None:
    qmp, qemu = ends
    qemu.close()
    with pytest.raises(QmpError, match="closed the connection"):
        qmp.greet(10)
    with pytest.raises(QmpError, match="Broken pipe"):
        qmp.run("stop", timeout_s=10)


def test_answer_without_an_end_is_not_kept(ends: tuple[Qmp, socket.socket]) -> None:
    qmp, qemu = ends
    qmp._rest = b" " * (MOST_BYTES + 1)
    with pytest.raises(QmpError, match="no answer"):
        qmp.run("stop", timeout_s=10)
