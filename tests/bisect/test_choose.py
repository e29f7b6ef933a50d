"""The next commit is the one that `git bisect` takes."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from fakes.history import run_git

from harness.bisect.choose import git_chooser
from harness.bisect.repository import open_repository


def branchy(folder: Path, count: int) -> None:
    """A history with merges, written as one stream."""
    dice = random.Random(5)
    run_git(folder.parent, "init", "-q", "-b", "main", str(folder))
    lines = []
    for number in range(1, count + 1):
        parents = [number - 1] if number > 1 else []
        if number > 4 and dice.random() < 0.4:
            parents = [number - dice.randrange(1, 4), number - dice.randrange(1, 4)]
        lines += ["commit refs/heads/main", f"mark :{number}"]
        lines += [f"committer A <a@example.org> {1000 + number} +0000", "data 1", "x"]
        lines += [f"from :{parents[0]}"] if parents else []
        lines += [f"merge :{parent}" for parent in parents[1:] if parent != parents[0]]
    import subprocess

    stream = "\n".join([*lines, ""]).encode()
    subprocess.run(["git", "-C", str(folder), "fast-import", "--quiet"], input=stream, check=True)


@pytest.mark.parametrize("skips", (0.0, 0.4))
def test_the_steps_are_those_of_git_bisect_also_around_merges_and_skips(
    tmp_path: Path, skips: float
) -> None:
    folder = tmp_path / "made"
    branchy(folder, 60)
    repository = open_repository(folder, "--in")
    bad = run_git(folder, "rev-parse", "main")
    good = run_git(folder, "rev-list", "--max-parents=0", "main")
    culprit = run_git(folder, "rev-list", "main").split()[17]
    dice = random.Random(7)
    broken = {commit for commit in repository.between([good], bad) if dice.random() < skips}
    broken -= {good, bad}
    run_git(folder, "bisect", "start", "--no-checkout", bad, good)
    goods, skipped = [good], set[str]()
    choose = git_chooser(repository)
    for _ in range(60):
        choice = choose(goods, bad, skipped)
        if choice.next is None:
            break
        assert choice.next == run_git(folder, "rev-parse", "BISECT_HEAD")
        if choice.next in broken:
            skipped.add(choice.next)
            word = "skip"
        elif repository.is_ancestor(culprit, choice.next):
            bad, word = choice.next, "bad"
        else:
            goods.append(choice.next)
            word = "good"
        said = told(folder, word)
    if len(choice.suspects) == 1:
        assert f"{choice.suspects[0]} is the first bad commit" in said
    else:
        assert set(choice.suspects) == set(re.findall(r"^[0-9a-f]{40}$", said, re.MULTILINE))
    assert culprit in choice.suspects or culprit in broken


def told(folder: Path, word: str) -> str:
    import subprocess

    done = subprocess.run(
        ["git", "-C", str(folder), "bisect", word], capture_output=True, text=True
    )
    return done.stdout
