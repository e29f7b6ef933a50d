"""Who has a port open, by /proc, and why it cannot be opened."""

import errno
import os
import termios

import pytest

from harness.errors import BoardSilent, StartFailed, Where
from harness.holders import also_open, holders, why_not
from harness.link.streams import open_serial, without_options


@pytest.fixture
def processes(tmp_path):
    """`cat` has /dev/null open, which is a character device as a port is; this process too."""
    for number, name in ((17, "cat\n"), (os.getpid(), "python\n"), (18, "idle\x1b[2J\n")):
        folder = tmp_path / str(number)
        (folder / "fd").mkdir(parents=True)
        (folder / "comm").write_text(name)
    for number in (17, os.getpid()):
        (tmp_path / str(number) / "fd" / "3").symlink_to("/dev/null")
    (tmp_path / "18" / "fd" / "0").symlink_to("/gone")
    return tmp_path


def test_another_program_that_has_a_port_open_is_named(processes):
    assert holders("/dev/null", processes) == ("cat (process 17)",)
    assert holders("/dev/zero", processes) == ()


def test_a_program_that_ends_or_belongs_to_another_user_is_passed_over(processes):
    (processes / "17" / "fd" / "3").unlink()
    (processes / "17" / "fd").rmdir()
    assert holders("/dev/null", processes) == ()


@pytest.mark.parametrize("port", ["/dev/ttyNONE", "a\0b", "socket://host:1", __file__])
def test_what_is_no_port_is_held_by_nobody(port, processes):
    assert holders(port, processes) == ()


def test_a_pseudo_terminal_is_open_where_it_is_served():
    master, slave = os.openpty()
    try:
        assert holders(os.ttyname(slave)) == ()
        assert also_open(os.ttyname(slave)) == ""
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_that_goes_away_while_it_is_opened_is_an_error_and_no_traceback(monkeypatch):
    def gone(*arguments):
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr("serial.serialposix.termios.tcsetattr", gone)
    master, slave = os.openpty()
    try:
        with pytest.raises(StartFailed, match="cannot open the port: .*Input/output error"):
            open_serial(os.ttyname(slave), where=Where(board="left"))
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("port", "number", "hint"),
    [
        ("/dev/ttyNONE", errno.ENOENT, "hil boards"),
        ("/dev/null", errno.EACCES, "belongs to root alone"),
        ("/dev/ttyNONE", errno.EACCES, "usermod -aG dialout"),
        ("/dev/ttyNONE; reboot", errno.EBUSY, "sudo fuser -v '/dev/ttyNONE; reboot'"),
        ("/dev/ttyNONE", errno.EAGAIN, "Another program has it open"),
        ("rfc2217://host:1", errno.ECONNREFUSED, "Does a server listen there"),
        ("/dev/ttyNONE", errno.EIO, "does another program hold it"),
    ],
)
def test_each_reason_has_its_remedy(port, number, hint):
    assert hint in why_not(port, OSError(number, "refused"))


def test_a_silent_board_whose_port_others_read_says_so():
    error = BoardSilent(where=Where(board="a"), steps=("one",), others="cat has it open")
    assert "cat has it open" in error.hint
    assert "Check its cable" in BoardSilent(where=Where(board="a"), steps=("one",)).hint


def test_the_state_of_telnet_options_is_left_out():
    # As pyserial 3.5 said it where ser2net had lost its bridge.
    said = "Remote does not seem to support RFC2217 or BINARY mode [we-BINARY:False(INACTIVE)]"
    assert without_options(ValueError(said)) == said.partition(" [")[0]
    assert without_options(OSError(2, "No such file")) == "[Errno 2] No such file"
