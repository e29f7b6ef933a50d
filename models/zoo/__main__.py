"""`python -m models.zoo --output DIR`: make the models of the zoo and their index."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.model.subgraphs import read_subgraphs
from models.quiet import import_tensorflow
from models.zoo.direct import direct
from models.zoo.flow import flow
from models.zoo.operators import operators
from models.zoo.shapes import shapes
from models.zoo.source import Ready, Source, convert

INDEX = "index.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all models, or those named."""
    parser = argparse.ArgumentParser(prog="python -m models.zoo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("tests/zoo"), metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; default: all")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    kept = _read(options.output / INDEX) if options.names else {}
    for name, entry in _made(import_tensorflow(), options.output, options.names):
        kept[name] = entry
        print(f"{entry['size_bytes']:6} {name}: {', '.join(entry['operators'])}", flush=True)
    text = json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False)
    (options.output / INDEX).write_text(f"{text}\n")
    return 0


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _made(tf: Any, folder: Path, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for source in _sources(tf):
        if names and source.name not in names:
            continue
        content = convert(tf, source) if isinstance(source, Source) else source.content
        (folder / f"{source.name}.tflite").write_bytes(content)
        yield source.name, _entry(source, content)


def _sources(tf: Any) -> Iterator[Source | Ready]:
    yield from operators(tf)
    yield from shapes(tf)
    yield from flow(tf)
    yield from direct()


def _entry(source: Source | Ready, content: bytes) -> dict[str, Any]:
    kinds = [node.kind for graph in read_subgraphs(content) for node in graph.nodes]
    return {
        "what": source.what,
        "operators": list(dict.fromkeys(kinds)),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
