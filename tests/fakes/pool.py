"""A pool: a real labgrid coordinator and exporter on loopback, in labgrid's own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from harness.errors import ToolMissing
from harness.locks import held
from harness.pool.hold import Pool
from harness.pool.labgrid import VERSION, Labgrid, environment_folder, find_client
from harness.process import LastWords, end_group, start

STARTS_S = 60.0
MAKES_S = 300.0


def labgrid_client() -> Path | str:
    """labgrid's client, whose environment is made where there is none; else why it cannot be.

    It is in the state folder, as docs/pool.md says, so that it is made once.
    """
    folder = environment_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with held(folder.parent / "labgrid.lock", "labgrid is being installed", timeout_s=MAKES_S):
        try:
            return find_client(None)
        except ToolMissing:
            pass
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [f"{folder}/bin/pip", "install", "--quiet", f"labgrid=={VERSION}"],
        ):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=MAKES_S)
            except subprocess.TimeoutExpired:
                return f"{command[0]} took longer than {MAKES_S:g} s"
            if done.returncode:
                return f"labgrid cannot be installed: {done.stderr.strip()[-200:]}"
    return find_client(None)


class Lab:
    """A coordinator, and an exporter of serial ports that listen on loopback; `with` runs them.

    Args:
        ports: TCP address of each place's board, by the place's name.
        tags: those of all places.
        more: further resources of a place, by its name, as an exporter's file has them.
    """

    def __init__(
        self,
        client: Path,
        folder: Path,
        ports: Mapping[str, str],
        *,
        tags: Mapping[str, str] | None = None,
        protocol: str = "raw",
        more: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self.client = client
        self._folder = folder
        self._ports = ports
        self._tags = dict(tags or {})
        self._protocol = protocol
        self._more = more or {}
        self._stack = ExitStack()
        self.address = ""

    def __enter__(self) -> Lab:
        with ExitStack() as stack:
            self._write()
            listen = ["--listen", "127.0.0.1:0"]
            self.coordinator, said = self._start(stack, "coordinator", *listen)
            self.address = self._wait(said, "listening on ")
            address = ["--coordinator", self.address, "--name", "bench", "--hostname", "127.0.0.1"]
            self.exporter, said = self._start(stack, "exporter", *address, "exporter.yaml")
            self._wait(said, "Exporter ready")
            self._stack = stack.pop_all()
        while "avail" not in self.by_hand("-v", "resources"):
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def pool(self, timeout_s: float = 60.0) -> Pool:
        return Pool(program=self.client, coordinator=self.address, timeout_s=timeout_s)

    @property
    def labgrid(self) -> Labgrid:
        return self.pool().labgrid()

    def by_hand(self, *words: str, user: str = "bob") -> str:
        """What labgrid's client says to a user who works by hand."""
        return subprocess.run(
            [str(self.client), *words],
            env={
                **os.environ,
                "LG_COORDINATOR": self.address,
                "LG_USERNAME": user,
                "LG_HOSTNAME": "desk",
            },
            capture_output=True,
            text=True,
            timeout=STARTS_S,
        ).stdout

    def _write(self) -> None:
        """What the programs read; JSON is YAML."""
        places = {
            name: {
                "aliases": [],
                "comment": "",
                "tags": self._tags,
                "matches": [
                    {"exporter": "bench", "group": name, "cls": "*", "name": None, "rename": None}
                ],
            }
            for name in self._ports
        }
        (self._folder / "places.yaml").write_text(json.dumps(places))
        resources = {}
        for name, address in self._ports.items():
            host, _, port = address.rpartition(":")
            serial = {"host": host, "port": int(port), "protocol": self._protocol}
            resources[name] = {"NetworkSerialPort": serial, **self._more.get(name, {})}
        (self._folder / "exporter.yaml").write_text(json.dumps(resources))

    def _start(
        self, stack: ExitStack, program: str, *words: str
    ) -> tuple[subprocess.Popen[bytes], LastWords]:
        process = start(
            [str(self.client.with_name(f"labgrid-{program}")), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            environment={**os.environ, "PYTHONUNBUFFERED": "1"},
            folder=self._folder,
        )
        stack.callback(end_group, process)
        return process, LastWords(process.stdout)

    def _wait(self, said: LastWords, mark: str) -> str:
        """What stands behind a mark in what a program says."""
        until = time.monotonic() + STARTS_S
        while mark not in (text := said.text(0.05)):
            assert time.monotonic() < until, f"no {mark!r} in {text!r}"
        return text.partition(mark)[2].partition("\n")[0]
