"""A port behind another machine; the script that stands for ssh listens where it is asked to."""

import os
import socket
import sys

import pytest

from harness.errors import PoolError, Where
from harness.pool.forward import Forward

SSH = """#!{python}
import socket, sys, time
here = sys.argv[sys.argv.index("-L") + 1]
if sys.argv[-1] == "shut": sys.exit("Permission denied (publickey).")
_, port, host, far = here.split(":")
server = socket.create_server(("127.0.0.1", int(port)))
while True:
    client, _ = server.accept()
    client.sendall(f"{{sys.argv[-1]}} {{host}} {{far}}".encode())
    client.close()
"""


@pytest.fixture(autouse=True)
def ssh(tmp_path, monkeypatch):
    program = tmp_path / "ssh"
    program.write_text(SSH.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_a_port_is_brought_here_and_let_go_of():
    forward = Forward("bench-2", "127.0.0.1", 4001, where=Where())
    with socket.create_connection(("127.0.0.1", forward.port)) as there:
        assert there.recv(100) == b"bench-2 127.0.0.1 4001"
    forward.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", forward.port))


def test_an_ssh_that_does_not_get_there_says_why():
    with pytest.raises(PoolError, match=r"through shut: Permission denied") as caught:
        Forward("shut", "127.0.0.1", 4001, where=Where(board="nano"))
    assert "ssh -o BatchMode=yes shut true" in caught.value.hint
    with pytest.raises(PoolError, match="is no machine for ssh"):
        Forward("-oProxyCommand=x", "127.0.0.1", 4001, where=Where())
