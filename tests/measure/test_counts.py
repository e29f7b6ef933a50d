from __future__ import annotations

import pytest

from harness.measure.counts import CallPath, CountsError, parse_counts

GOOD = """\
invoke 3 7 complete
path -1 1 1 4
path 0 -1 2 3
at 00000104 4770 3 3 bx       lr
at 00000100 f8d11004 4 0 ldr.w    r1, [r1, #4]
end
"""


def test_counts_are_read_in_the_order_of_addresses() -> None:
    counts = parse_counts(GOOD.encode())
    assert (counts.number, counts.instructions) == (3, 7)
    assert counts.paths == (
        CallPath(parent=None, function=1, calls=1, instructions=4),
        CallPath(parent=0, function=None, calls=2, instructions=3),
    )
    load, jump = counts.code
    assert (load.address, load.size, load.opcode) == (0x100, 4, 0xF8D11004)
    assert (load.mnemonic, load.operands, load.count) == ("ldr.w", "r1, [r1, #4]", 4)
    assert (jump.text, jump.size, jump.taken) == ("bx lr", 2, 3)
    assert counts.by_mnemonic() == {"ldr.w": 4, "bx": 3}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("end\n", ""), "not whole"),
        (("complete", "calls in calls"), "more calls in calls than can be counted"),
        (("invoke 3 7", "invoke 3 8"), "by addresses add up to 7, the invoke is 8"),
        (("2 3\n", "2 4\n"), "by paths of calls add up to 8, the invoke is 7"),
        (("path 0", "path 1"), "path 1 cannot be called by path 1"),
        (("path -1", "path 0"), "path 0 cannot be called by path 0"),
        (("path 0", "path -1"), "path 1 cannot be called by path -1"),
        (("4770", "?"), "cannot be read"),
        (("invoke 3 7 complete", "invoke"), "cannot be read"),
    ],
)
def test_damage_is_refused(change: tuple[str, str], says: str) -> None:
    with pytest.raises(CountsError, match=says):
        parse_counts(GOOD.replace(*change).encode())


@pytest.mark.parametrize("raw", [b"", b"\xff" * 99, b"invoke 1 2 complete\n" * 5])
def test_what_was_never_written_is_refused(raw: bytes) -> None:
    with pytest.raises(CountsError):
        parse_counts(raw)
