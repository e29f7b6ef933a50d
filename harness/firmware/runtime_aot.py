"""The runtime `aot`: C that BakeNN generates ahead of time."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

from harness.firmware import (
    aot,
    aot_fixed,
    aot_graph,
    aot_importer,
    aot_kernels,
    aot_memory,
    aot_own,
    aot_pass,
    aot_steps,
    compiled,
)
from harness.firmware.platformio import Job
from harness.firmware.runtime import Given, Look, Question, Runtime
from harness.model.graph import Step

GENERATORS = (
    *(aot, aot_fixed, aot_graph, aot_importer, aot_kernels),
    *(aot_memory, aot_own, aot_pass, aot_steps, compiled),
)
"""Modules that decide which code is generated."""


def _look(question: Question) -> Look:
    prepared = aot_pass.prepare(question.artifact.content)
    weights = sum(count for _, count in question.graph.weights)
    return Look(changes=prepared.changes, flash_bytes=weights)


def _plan(job: Job, given: Given) -> Job:
    sources = (inspect.getsource(module) for module in GENERATORS)
    return replace(job, identity=(*sources, aot.AOT_VERSION))


def _generate(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
    return aot.generate_aot(
        job.artifact, job.board, build_id=identity, folder=folder, profile=job.profile
    )


AOT_RUNTIME = Runtime(
    description="C generated ahead of time by BakeNN, with CMSIS-NN where that is faster",
    version=aot.AOT_VERSION,
    look=_look,
    generate=_generate,
    sources=("aot.cpp", "aot_operators.cpp"),
    plan=_plan,
    profiled=True,
    look_is_built=True,
)
