"""labgrid's client, found and asked."""

import os

import pytest

from harness.errors import CoordinatorGone, PoolError, ToolMissing
from harness.pool.labgrid import (
    Identity,
    Labgrid,
    coordinator_address,
    find_client,
    new_identity,
    without_frames,
)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_client_is_the_one_given_or_on_the_path_or_in_the_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(ToolMissing, match="labgrid-client not found") as missing:
        find_client(None)
    assert "pip install labgrid==" in missing.value.install
    kept = script(tmp_path / "state/labgrid/bin/labgrid-client", "")
    assert find_client(None) == kept
    on_path = script(tmp_path / "path/labgrid-client", "")
    assert find_client(None) == on_path
    assert find_client(tmp_path / "state/labgrid") == kept == find_client(kept)
    with pytest.raises(ToolMissing, match="elsewhere not found"):
        find_client(tmp_path / "elsewhere")


def test_the_coordinator_is_the_one_given_or_labgrids_own(monkeypatch):
    monkeypatch.delenv("LG_COORDINATOR", raising=False)
    assert coordinator_address(None) == "127.0.0.1:20408"
    monkeypatch.setenv("LG_COORDINATOR", "lab.example")
    assert coordinator_address(None) == "lab.example" and coordinator_address("x:1") == "x:1"


def test_two_runs_of_one_user_are_two_users_to_labgrid(monkeypatch):
    monkeypatch.setenv("LG_USERNAME", "DOMAIN\\al;ice")
    monkeypatch.setenv("LG_HOSTNAME", "desk")
    one, other = new_identity(), new_identity()
    assert one != other
    assert str(one).startswith(f"desk/DOMAIN-al-ice-hil-{os.getpid()}-")


def client(path):
    identity = Identity(host="desk", user="alice-hil-1")
    return Labgrid(program=path, coordinator="127.0.0.1:1", identity=identity)


def test_what_would_change_the_question_is_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("LG_PLACE", "another")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    shows = script(tmp_path / "shows", 'echo "$*"; env; echo complaint >&2')
    said = client(shows).call("show", place="a")
    assert said.startswith("--place=a show\n") and "complaint" not in said
    assert "LG_COORDINATOR=127.0.0.1:1\n" in said and "LG_USERNAME=alice-hil-1\n" in said
    assert "LG_PLACE" not in said and "PYTHONPATH" not in said


def test_a_coordinator_that_is_gone_is_told_from_another_error(tmp_path):
    gone = script(tmp_path / "gone", "echo Error: Could not connect to coordinator >&2; exit 1")
    with pytest.raises(CoordinatorGone, match=r"127\.0\.0\.1:1 is not reachable"):
        client(gone).call("show", place="a")
    slow = script(tmp_path / "slow", "sleep 60")
    with pytest.raises(CoordinatorGone, match="did not answer within 0.1 s"):
        client(slow).call("show", place="a", timeout_s=0.1)
    with pytest.raises(PoolError, match="labgrid-client power of place a took longer") as caught:
        client(slow).call("power", "off", place="a", timeout_s=0.1)
    assert type(caught.value) is PoolError and "deadlines.power_s" in caught.value.hint
    assert caught.value.hint.endswith("127.0.0.1:1 labgrid-client -p a power off")
    other = script(tmp_path / "other", r"printf 'Error: \033[31mno\nway' >&2; exit 1")
    with pytest.raises(PoolError, match=r"show of place a failed: Error: .*31mno way") as caught:
        client(other).call("show", place="a")
    assert type(caught.value) is PoolError and "\033" not in str(caught.value)


def test_a_coordinator_that_says_no_end_of_things_fills_no_disk(tmp_path):
    flooding = script(tmp_path / "client", "exec yes 'Place of many'")
    with pytest.raises(PoolError, match="labgrid-client places failed: Place of many Place of"):
        client(flooding).call("places")


def test_a_client_that_has_no_place_for_its_answer_is_an_error_of_the_pool(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(CoordinatorGone, match="could not be run: .*No such file") as caught:
        client(script(tmp_path / "c", "")).call("places")
    assert "TMPDIR" in caught.value.hint


def test_of_a_clients_traceback_the_error_is_told_and_no_frames():
    said = """Traceback (most recent call last):
  File "/opt/labgrid/remote/client.py", line 2362, in main
    args.func(session)
subprocess.CalledProcessError: Command 'uhubctl' returned non-zero exit status 1.
"""
    told = "subprocess.CalledProcessError: Command 'uhubctl' returned non-zero exit status 1."
    assert without_frames(said) == told
    assert without_frames("error: place busy\n  by x") == "error: place busy\n  by x"
