from __future__ import annotations

import pytest

from harness.cli import main


@pytest.mark.parametrize(
    "words, said",
    [
        (["--core", "Cortex-M4"], "add --estimate-cycles"),
        (["--wait-states", "2"], "add --estimate-cycles"),
        (["--estimate-cycles", "--functions"], "printed alone"),
        (["--save-operator", "x.tflite"], "add --first-difference"),
        (["--estimate-cycles", "--board", "virtual"], "no table of costs for host"),
        (
            ["--estimate-cycles", "--board", "qemu-m55", "--core", "Cortex-M7"],
            "built for the cortex-m55 of qemu-m55",
        ),
        (["--estimate-cycles", "--board", "virtual", "--core", "Cortex-M7"], "counted by QEMU"),
        (["--estimate-cycles", "--board", "qemu-m4", "--core", "Cortex-M3"], "does not run code"),
    ],
)
def test_what_cannot_be_estimated_is_wrong_use(words: list[str], said: str, capsys) -> None:
    assert main(["profile", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--core", "Z80"], ["--wait-states", "17"]])
def test_other_cores_and_wait_states_are_refused(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(["profile", "--estimate-cycles", *words])
    assert end.value.code == 2 and words[0] in capsys.readouterr().err
