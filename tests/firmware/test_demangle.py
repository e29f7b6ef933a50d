from harness.firmware.demangle import demangled


def test_names_are_without_parameters_and_anonymous_namespaces(tmp_path) -> None:
    names = [
        "_ZN6tflite12_GLOBAL__N_14EvalEP13TfLiteContextP10TfLiteNode.constprop.0",
        "memcpy",
        "_ZN7runtime6InvokeEv",
        "_Znotone",
        "$t",
        "",
    ]
    assert demangled(names) == [
        "tflite::Eval.constprop.0",
        "memcpy",
        "runtime::Invoke",
        "_Znotone",
        "$t",
        "",
    ]


def test_hostile_names_stay_as_they_are() -> None:
    names = ["_Z" + "3foo" * 2500, "_ZN3foo\n3barEv", "_Z1\x1b[31m", "-_Z3foov", "@/etc/passwd"]
    assert demangled(names) == names


def test_without_a_program_for_it_names_stay_as_they_are(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("HIL_ARM_GCC_DIR", raising=False)
    assert demangled(["_Z3foov"]) == ["_Z3foov"]
