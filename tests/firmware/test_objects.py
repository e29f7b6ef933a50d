"""Objects kept by content: keys, entries and their bounds; the builds are in test_build.py."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.firmware import objects
from harness.firmware.platformio import places_of
from harness.project import Project

KEY = "ab" * 32
COMMAND = "/usr/bin/arm-g++ -o out/x.o -c -O2 -MMD -MF x.d -DA=1 -D B -Isrc -isystem inc src/x.cpp"


def key(words: str = COMMAND, compiler: str = "c1", text: bytes = b"int x;", **said: str) -> str:
    found = objects.key_of(compiler, objects.deciding(words.split(), ()), said, text, ())
    assert found is not None
    return found


def test_what_is_preprocessed_is_what_would_be_compiled() -> None:
    assert objects.preprocessing(COMMAND.split()) == (
        "/usr/bin/arm-g++ -O2 -DA=1 -D B -Isrc -isystem inc src/x.cpp -E".split()
    )
    assert objects.deciding(COMMAND.split(), ()) == ["-O2"]
    assert objects.deciding("g++ -c -x c -std=c11 -mthumb a.c".split(), ()) == (
        "-x -std=c11 -mthumb".split()
    )


@pytest.mark.parametrize(
    "words",
    (
        "g++ -o x src/x.o",
        "g++ -c -o x.o a.c b.c",
        "g++ -c -o x.o x.S",
        *(
            f"g++ -c {more} x.c"
            for more in (
                "-E -S -P -save-temps=obj --coverage -ftest-coverage -fprofile-use=x -gsplit-dwarf"
                " -fstack-usage -fdump-tree-all -fplugin=x.so -wrapper -specs=a --specs=a"
                " -Wa,-adhlns=x -B/other @left"
            ).split()
        ),
    ),
)
def test_commands_that_read_or_write_more_are_left_alone(words: str) -> None:
    assert objects.preprocessing(words.split()) is None


def test_files_of_words_are_read(tmp_path: Path) -> None:
    (tmp_path / "more").write_text('-Ia -DX="a b"\n--coverage')
    assert objects.expanded(["g++", "@more"], tmp_path) == ["g++", "-Ia", "-DX=a b", "--coverage"]
    assert objects.expanded(["g++", "@absent"], tmp_path) is None


def test_whatever_decides_an_object_is_in_its_key() -> None:
    keys = [
        key(),
        key(compiler="c2"),
        key(COMMAND.replace("-O2", "-O3")),
        key(f"{COMMAND} -g"),
        key(text=b"int y;"),
        key(COMPILER_PATH="/else"),
    ]
    assert len(set(keys)) == len(keys)
    # What the preprocessor has filled in is in its text.
    assert key(COMMAND.replace("-DA=1", "-DA=2").replace("-Isrc", "-Iother")) == keys[0]
    for reads in (b'asm(".incbin \\"x\\"");', b'asm(". include \\"x\\"");'):
        assert objects.key_of("c", [], {}, reads, ()) is None


def test_a_work_tree_of_another_place_has_the_same_names(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        root = tmp_path / name
        state = root / ".hil" if name == "one" else tmp_path / "elsewhere"
        work = state / "build" / name
        places = places_of(Project(root=root, state=state), work, tmp_path / f"tflm-{name}")
        near = work.relative_to(root) if name == "one" else work
        text = f'# 1 "{root}//"\n# 1 "{near}/model/a.h" 1\nint a; // {{}}\n# 2 "src/a.cpp" 2\n'
        found.append(objects.key_of("c", [], {}, text.encode(), places))
        assert objects.renamed(f"{tmp_path}/tflm-{name}/a.h".encode(), places) == b"tflm/a.h"
        assert objects.renamed(b"/usr/include/a.h", places) == b"/usr/include/a.h"
        core = f"{state}/platformio/packages/a.h".encode()
        assert objects.renamed(core, places) == b"platformio/packages/a.h"
    assert found[0] == found[1]
    # In the text itself nothing is renamed.
    one, other = (
        objects.key_of("c", [], {}, f'f("{path}");'.encode(), [(str(tmp_path), ".")])
        for path in (tmp_path, ".")
    )
    assert one != other


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs the system's gcc")
def test_headers_by_way_of_macros_count_and_files_written_meanwhile_are_seen(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.c").write_text("#include WHICH\nint b = A;\n")
    words = ["gcc", "-c", "-g", '-DWHICH="a.h"', "-o", "a.o", "a.c"]
    keys = []
    for value in (1, 2, 1):
        (tmp_path / "a.h").write_text(f"#define A {value}\n")
        for name in ("a.c", "a.h"):
            os.utime(tmp_path / name, (1e9, 1e9))
        made = objects.preprocessing(words)
        assert made is not None
        text = subprocess.run(made, cwd=tmp_path, capture_output=True, check=True).stdout
        keys.append(objects.key_of("c", objects.deciding(words, ()), {}, text, ()))
    assert keys[0] == keys[2] != keys[1]
    files = objects.files_of(text)
    assert {b"a.c", b"a.h"} <= files and not any(name.startswith(b"<") for name in files)
    # Its time was set back, but not that of its last change.
    written = (tmp_path / "a.h").stat().st_ctime_ns
    later = written + 10**9
    assert objects.changed_since(files, tmp_path, written)
    assert not objects.changed_since(files, tmp_path, later)
    (tmp_path / "a.h.gch").touch()
    assert objects.changed_since(files, tmp_path, later)
    (tmp_path / "a.h").unlink()
    assert objects.changed_since(files, tmp_path, later)


def test_an_entry_that_is_damaged_or_another_ones_is_removed(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20
    assert objects.load(tmp_path, KEY) is None
    assert objects.keep(tmp_path, KEY, content)
    assert objects.load(tmp_path, KEY) == content
    place = tmp_path / KEY[:2] / KEY[2:]
    entry = place.read_bytes()
    spoilt = [entry[:length] for length in (0, 5, 20, 60, len(entry) - 1)]
    spoilt += [
        entry[:at] + bytes([entry[at] ^ 1]) + entry[at + 1 :] for at in range(0, len(entry), 7)
    ]
    for other in spoilt:
        place.write_bytes(other)
        # A bit that zlib has no use for may differ; the object may not.
        assert objects.load(tmp_path, KEY) in (None, content)
    other_key = KEY[:2] + "cd" * 31
    assert objects.keep(tmp_path, other_key, b"other")
    shutil.copy(tmp_path / KEY[:2] / other_key[2:], place)
    assert objects.load(tmp_path, KEY) is None
    assert not place.exists()
    assert objects.load(tmp_path, other_key) == b"other"


def test_what_cannot_be_kept_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert not objects.keep(tmp_path / "file", KEY, b"object")
    assert objects.load(tmp_path / "file", KEY) is None
    objects.prune(tmp_path / "file")
    monkeypatch.setattr(objects, "LARGEST_BYTES", 3)
    assert not objects.keep(tmp_path, KEY, b"object")
    # A disk that is full when the entry is put in its place.
    (tmp_path / KEY[:2] / KEY[2:] / "in the way").mkdir(parents=True)
    assert not objects.keep(tmp_path, KEY, b"abc")
    assert [path.name for path in (tmp_path / KEY[:2]).iterdir()] == [KEY[2:]]


def test_old_objects_and_those_beyond_the_size_are_removed(tmp_path: Path) -> None:
    keys = [f"{number:02x}" * 32 for number in range(6)]
    for age, name in enumerate(keys):
        objects.keep(tmp_path, name, os.urandom(1000))
        place = tmp_path / name[:2] / name[2:]
        os.utime(place, (1e6 - 100 * age, 1e6 - 100 * age))
    part = tmp_path / "00" / "killed.part"
    foreign = tmp_path / "00" / "README"
    for path, age in ((part, 3700), (foreign, 1e6)):
        path.touch()
        os.utime(path, (1e6 - age, 1e6 - age))

    def left(**bounds: float) -> list[int]:
        objects.prune(tmp_path, clock=lambda: 1e6, **bounds)  # type: ignore[arg-type]
        return [at for at, name in enumerate(keys) if (tmp_path / name[:2] / name[2:]).exists()]

    assert left() == [0, 1, 2, 3, 4, 5]
    assert not part.exists() and foreign.exists()
    assert left(idle_s=450) == [0, 1, 2, 3, 4]
    assert left(most_bytes=3300) == [0, 1, 2]
    assert left(most_bytes=0) == []
    assert foreign.exists()


def test_the_folder_is_said_by_the_environment(tmp_path: Path) -> None:
    assert objects.folder_of(tmp_path, {}) == tmp_path / "objects"
    assert objects.folder_of(tmp_path, {objects.VARIABLE: "off"}) is None
    assert objects.folder_of(tmp_path, {objects.VARIABLE: "/else"}) == Path("/else")
