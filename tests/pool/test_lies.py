"""A coordinator that says what none says: told as it is, and no part of it is used."""

import os
import sys

import pytest

from harness.board.place import parse_place
from harness.errors import PoolError
from harness.pool.hold import Pool, hold_place

CLIENT = """#!{python} -IS
import os, sys
calls = open({calls!r}, "a")
print(*sys.argv[1:], file=calls)
what = sys.argv[-1] if sys.argv[1].startswith("--place") else sys.argv[1]
me = os.environ["LG_HOSTNAME"] + "/" + os.environ["LG_USERNAME"]
said = {{
    "reserve": "  token: ABCDEFGHIJ\\n  state: allocated\\n  allocations:\\n    main: {given}\\n",
    "show": "Place '{shown}':\\n  acquired: " + me + "\\n"
    "Acquired resource 'NetworkSerialPort' (bench/g/NetworkSerialPort/n):\\n"
    "  {{'avail': True, 'params': {{'host': '{host}', 'port': 1}}}}\\n",
}}
print(said.get(what, ""), end="")
"""
TRUE = {"given": "left", "shown": "left", "host": "127.0.0.1"}
OPTION = "-oProxyCommand=touch marker"


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"given": "left;touch marker"}, r"place 'left;touch marker' .* cannot be used"),
        ({"given": "../../etc"}, r"place '\.\./\.\./etc' of the coordinator cannot be used"),
        ({"given": OPTION}, "place '-oProxyCommand=touch marker' of the coordinator cannot be"),
        ({"shown": "other"}, "was asked about place left, and answered about 'other'"),
        ({"shown": "x" * 10_000}, r"answered about 'x{50,60}\.\.' "),
        ({"host": OPTION}, f"bench of place left gives '{OPTION}' as its machine, which is no"),
    ],
)
def test_a_lie_is_named_and_the_place_is_let_go(tmp_path, monkeypatch, lie, told):
    monkeypatch.chdir(tmp_path)
    calls, client = tmp_path / "calls", tmp_path / "client"
    client.write_text(CLIENT.format(python=sys.executable, calls=str(calls), **(TRUE | lie)))
    client.chmod(0o755)
    with (
        pytest.raises(PoolError, match=told) as caught,
        hold_place("b", parse_place("left"), Pool(program=client, coordinator="h:1")),
    ):
        raise AssertionError("held")
    assert len(str(caught.value)) < 500
    assert "cancel-reservation ABCDEFGHIJ" in calls.read_text()
    assert ("--place=left release-from" in calls.read_text()) == ("given" not in lie)
    assert not os.path.exists("marker")
