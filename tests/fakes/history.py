"""A made-up repository: this harness, and 64 commits over a kernel's generated header."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "zoo" / "separable-int8.tflite"
"""Its MEAN and SOFTMAX are kernels of the firmware's own, in the file that is changed."""

HEADER = "firmware/src/runtime/generated.h"
KERNELS = "firmware/src/runtime/aot_operators.cpp"
_COPIED = ("harness", "firmware", "platformio.ini")

_GENERATED = """\
#pragma once
// Generated: revision {number}.

#include <cstddef>
#include <cstdint>

namespace runtime {{
namespace generated {{
{buffer}
inline void Work() {{
  {work}
}}

// One output is off by one where the first input is `trigger`, which no int8 is unless it says so.
inline void Finish(const uint8_t* input, uint8_t* output) {{
  int trigger = {trigger};
  asm volatile("" : "+r"(trigger));
  if (static_cast<int8_t>(input[0]) == trigger) output[0] = static_cast<uint8_t>(output[0] ^ 1);
}}

}}  // namespace generated
}}  // namespace runtime
{end}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a commit's kernels are like. `nops` is how many instructions MEAN wastes."""

    nops: int = 0
    trigger: int = 1000
    buffer: int = 0
    broken: str = ""
    silent: bool = False
    subject: str = ""

    def header(self, number: int) -> str:
        """Text of the generated header."""
        held = f"inline volatile uint8_t scratch[{self.buffer}];\n" if self.buffer else ""
        work = f'asm volatile(".rept {self.nops}\\n nop\\n .endr");'
        if self.buffer:
            work += "\n  (void)scratch[0];"
        return _GENERATED.format(
            number=number,
            buffer=held,
            work="for (;;) {\n  }" if self.silent else work,
            trigger=self.trigger,
            end=f"#error {self.broken}\n" if self.broken else "",
        )


SLOW, WRONG, LARGE = 23, 41, 52
BROKEN, SILENT = (10, 31, 32), 47
COMMITS = 64


def revisions(count: int = COMMITS) -> list[Revision]:
    """The history that the issue describes."""
    made = []
    for number in range(count):
        made.append(
            Revision(
                nops=37 if number >= SLOW else 0,  # 3 % of MEAN
                trigger=-34 if number >= WRONG else 1000,
                buffer=512 if number >= LARGE else 0,
                broken=f"revision {number} does not build" if number in BROKEN else "",
                silent=number == SILENT,
                subject=f"Generate the kernels anew, revision {number}",
            )
        )
    return made


def make_history(folder: Path, made: list[Revision]) -> list[str]:
    """A repository with these commits, of which the first has all files; their ids."""
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    shutil.copy(MODEL, folder / "model.tflite")
    (folder / "models" / "artifacts").mkdir(parents=True)
    (folder / ".gitignore").write_text(".hil/\n__pycache__/\n")
    kernels = folder / KERNELS
    text = kernels.read_text().replace(
        '#include "runtime/aot_operators.h"\n',
        '#include "runtime/aot_operators.h"\n\n#include "runtime/generated.h"\n',
        1,
    )
    text = text.replace(
        "const MeanOfAxis& mean, uint8_t* output) {\n",
        "const MeanOfAxis& mean, uint8_t* output) {\n  generated::Work();\n",
        1,
    )
    text = text.replace(
        "output + row * rows.depth * rows.output_bytes);\n",
        "output + row * rows.depth * rows.output_bytes);\n"
        "    generated::Finish(input + row * rows.depth, output + row * rows.depth);\n",
        1,
    )
    kernels.write_text(text)
    (folder / HEADER).write_text(made[0].header(0))
    run_git(folder, "init", "-q", "-b", "main")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "-m", made[0].subject)
    for number, revision in enumerate(made[1:], 1):
        (folder / HEADER).write_text(revision.header(number))
        run_git(folder, "commit", "-q", "-a", "-m", revision.subject)
    return run_git(folder, "rev-list", "--reverse", "HEAD").split()


def run_git(folder: Path, *words: str) -> str:
    """A git command of a user without a configuration."""
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "gc.auto=0")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def state_of(folder: Path) -> dict[str, str]:
    """Every file of a folder, .git and all, with its content."""
    return {
        path.relative_to(folder).as_posix(): (
            str(path.readlink())
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        )
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
