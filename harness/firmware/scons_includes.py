"""PlatformIO `pre:` script, of all builds: headers that SCons does not see by itself.

SCons looks for `#include "name"` and `<name>` in the folders of $CPPPATH. It knows nothing of a
name that is a macro, nor of folders that are given as `-isystem`: a change there would leave the
objects of the last build as they are.
"""

# mypy: ignore-errors

import re
from itertools import pairwise

import SCons.Tool

Import("env")  # noqa: F821

MACRO = re.compile(r"^[ \t]*#[ \t]*include[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
NAME = re.compile(r'\\?(["<])(.*?)\\?[">]$')


def defined(name):
    """What a macro of the command line stands for, if that is a header: quote and name."""
    for item in env.get("CPPDEFINES", []):  # noqa: F821
        pair = item if isinstance(item, (tuple, list)) else (item,)
        if len(pair) == 2 and pair[0] == name:
            found = NAME.match(str(pair[1]))
            return [found.groups()] if found else []
    return []


def system_folders():
    """The folders that come after `-isystem`."""
    flags = (env.get(name, []) for name in ("CCFLAGS", "CXXFLAGS"))  # noqa: F821
    pairs = pairwise(str(word) for words in flags for word in words)
    return tuple(env.Dir(place) for word, place in pairs if word == "-isystem")  # noqa: F821


scanner = SCons.Tool.CScanner
by_name, by_path = scanner.find_include_names, scanner.path_function


def find_include_names(node):
    """Those that SCons finds, and those that macros stand for."""
    macros = MACRO.findall(node.get_text_contents())
    return [*by_name(node), *(found for macro in macros for found in defined(macro))]


def path_function(*arguments):
    """The folders of $CPPPATH, and those of the system."""
    return (*by_path(*arguments), *system_folders())


scanner.find_include_names = find_include_names
scanner.path_function = path_function
