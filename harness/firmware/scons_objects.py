"""PlatformIO `pre:` script, of all builds: what was compiled before is not compiled again.

It also has the compiler call folders by names that are the same everywhere, with objects that are
kept or without: so the ELF file is the same in both cases, and wherever it was built.

The harness names in the environment the places ($HIL_PLACES, a list in JSON) and the folder of the
objects ($HIL_OBJECTS; nothing is kept without one).
"""

# mypy: ignore-errors

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import SCons.CacheDir
from SCons.Action import CommandAction
from SCons.Subst import escape_list

Import("env")  # noqa: F821

spec = importlib.util.spec_from_file_location("hil_objects", os.environ["HIL_OBJECTS_MODULE"])
objects = importlib.util.module_from_spec(spec)
spec.loader.exec_module(objects)

PLACES = [tuple(place) for place in json.loads(os.environ["HIL_PLACES"])]
MAPS = objects.prefix_maps(PLACES)
FOLDER = os.environ.get("HIL_OBJECTS", "")
NEEDED = 8  # The first GCC that knows the words of MAPS.
PATIENCE_S = 600.0
PARTS = ("cc1", "cc1plus", "as")
SHELL = frozenset("$`*?[]{}~;|&<>()#\n")

lock = threading.Lock()
top = Path(env.Dir("#").abspath)  # noqa: F821 (given by SCons)
versions, compilers = {}, {}
under_way = {}  # By target: key, files, and when it was begun.


def output(words, environment):
    """What a command writes, if it succeeds; else nothing."""
    try:
        done = subprocess.run(
            words,
            env=environment,
            cwd=top,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def prefix_maps(target, source, env, for_signature):
    """Words for the command line of a compiler that knows them."""
    compiler = env.subst("$CC")
    with lock:
        if compiler not in versions:
            said = output([*shlex.split(compiler), "-dumpversion"], env["ENV"])
            first = said.partition(b".")[0].strip()
            versions[compiler] = int(first) if first.isdigit() else 0
    return MAPS if versions[compiler] >= NEEDED else ""


def compiler_digest(program, environment):
    """Digest of a compiler and of the programs that it runs; nothing if they are not found."""
    place = (program, environment.get("PATH", ""))
    with lock:
        if place not in compilers:
            found = shutil.which(program, path=environment.get("PATH"))
            digest = hashlib.sha256()
            files = [found]
            for part in PARTS:
                said = os.fsdecode(output([program, f"-print-prog-name={part}"], environment))
                files.append(shutil.which(said.strip(), path=environment.get("PATH")))
            # A file of this name beside it says how it calls the others.
            said = os.fsdecode(output([program, "-print-file-name=specs"], environment)).strip()
            files += [said] if os.path.isabs(said) else []
            try:
                for path in files:
                    digest.update(Path(path or "").read_bytes() + b"\0")
                compilers[place] = digest.hexdigest() if found else ""
            except OSError:
                compilers[place] = ""
        return compilers[place]


def command_of(node):
    """The words of the command that compiles a node, and its environment; else None."""
    executor = node.get_executor()
    actions = executor.get_action_list() if executor else []
    if len(actions) != 1 or len(executor.get_all_targets()) != 1:
        return None
    made_by = node.get_build_env()
    [action] = actions
    if hasattr(action, "_generate"):
        action = action._generate(
            executor.get_all_targets(), executor.get_all_sources(), made_by, 0, executor
        )
    if not isinstance(action, CommandAction):
        return None
    lines, _, _ = action.process(executor.get_all_targets(), executor.get_all_sources(), made_by)
    if len(lines) != 1:
        return None
    line = " ".join(escape_list(lines[0], made_by["ESCAPE"]))
    if SHELL & set(line):
        return None
    return shlex.split(line), {name: str(text) for name, text in made_by["ENV"].items()}


def ask(node):
    """Key of a node's object, and the files it is made of; None if it is not to be kept."""
    command = command_of(node)
    if command is None:
        return None
    words, environment = command
    words = objects.expanded(words, top)
    preprocess = objects.preprocessing(words) if words else None
    if preprocess is None:
        return None
    compiler = compiler_digest(words[0], environment)
    text = output(preprocess, environment) if compiler else b""
    if not text:
        return None
    decisive = objects.deciding(words, MAPS)
    places = PLACES if set(MAPS) <= set(words) else []
    key = objects.key_of(compiler, decisive, environment, text, places)
    return (key, objects.files_of(text)) if key else None


class KeptObjects(SCons.CacheDir.CacheDir):
    """Stands where SCons asks for targets that were made before, and offers those it has made."""

    def __init__(self, path):
        # Not that of the base class: it locks a file that a killed build leaves locked.
        self.path = path

    def get_cachedir_csig(self, node):
        """None: the signature is that of the file."""
        return None

    def is_readonly(self):
        """Never."""
        return False

    def retrieve(self, node):
        """Write a target that was compiled before; return False if there is none."""
        begun = time.time_ns()
        if not str(node).endswith(".o") or (asked := ask(node)) is None:
            return False
        key, files = asked
        content = objects.load(Path(self.path), key)
        if content is None:
            under_way[str(node)] = key, files, begun
            return False
        try:
            Path(node.get_abspath()).write_bytes(content)
        except OSError:
            return False  # The compiler will say why.
        sys.stdout.write(f"Reused {node}\n")
        return True

    def push(self, node):
        """Keep a target that was compiled, unless it is unclear of what."""
        made = under_way.pop(str(node), None)
        if made is None:
            return
        key, files, begun = made
        if objects.changed_since(files, top, begun):
            return
        try:
            objects.keep(Path(self.path), key, Path(node.get_abspath()).read_bytes())
        except OSError:
            return

    def push_if_forced(self, node):
        """Never."""


env.Replace(HIL_PREFIX_MAPS=prefix_maps)  # noqa: F821
env.Append(CCFLAGS=["$HIL_PREFIX_MAPS"])  # noqa: F821
if FOLDER:
    env.CacheDir(FOLDER, KeptObjects)  # noqa: F821
