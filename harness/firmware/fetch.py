"""What PlatformIO has to fetch for a build, and whether its registry answers at all.

Left alone PlatformIO tries for a minute where no name is resolved, for three where packets are
dropped, and ends with an empty error. Its own ensure_internet_on() says yes on every machine
(6.2.0).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from ssl import SSLError
from threading import Thread

from platformio import __registry_mirror_hosts__

from harness.errors import ToolMissing
from harness.firmware.platformio import Job
from harness.firmware.tflm_library import option_of

REGISTRY = tuple(f"https://api.{host}" for host in __registry_mirror_hosts__)
ANSWER_S = 5.0


def refuse_unfetchable(
    job: Job, ini: str, core_dir: Path, work: Path, registry: Sequence[str] = REGISTRY
) -> None:
    """Raise ToolMissing at once if a platform or library is absent and no registry answers.

    Args:
        ini: text of platformio.ini.
        core_dir: PlatformIO's own folder, with its platforms.
        work: working folder of the build, with its libraries.
    """
    platform = option_of(ini, job.env, "platform")
    if "://" not in platform and not _holds(core_dir / "platforms", platform.split("@")[0]):
        absent = package_missing(platform, job)
    elif job.library and not (job.library.folder or _holds(_libraries(work, job), "")):
        absent = library_missing(job)
    else:
        return
    if not registry_answers(registry):
        raise absent


def _libraries(work: Path, job: Job) -> Path:
    return work / "pio" / "libdeps" / job.env


def _holds(folder: Path, name: str) -> bool:
    return any(folder.glob(f"{name}*/*.json")) or any(folder.glob(f"{name}*/*.properties"))


def package_missing(package: str, job: Job) -> ToolMissing:
    """The error for a platform or package that PlatformIO cannot fetch."""
    return ToolMissing(
        f"PlatformIO's package {package}",
        needed_for=f"firmware for {job.board.id}",
        install="connect to a network that reaches PlatformIO's registry once, or copy "
        "platformio/ of the state folder of a rig that has it (docs/rig.md)",
    )


def library_missing(job: Job) -> ToolMissing:
    """The error for a TFLM library that PlatformIO cannot fetch."""
    return ToolMissing(
        str(job.library),
        needed_for=f"runtime {job.runtime} on {job.board.id}",
        install="connect to a network that reaches PlatformIO's registry, or name a folder with "
        "TFLite Micro in it (docs/tflm.md):\n"
        "  make bench TFLM=DIR; hil ... --tflm DIR; pytest --hil-tflm=DIR; or HIL_TFLM",
    )


def registry_answers(urls: Sequence[str] = REGISTRY, within_s: float = ANSWER_S) -> bool:
    """Whether one of PlatformIO's registries answers in time, whatever it says.

    Looking up a name has no time-out of its own, so each is asked in a thread that may be left
    behind.
    """
    answers: Queue[bool] = Queue()
    for url in urls:
        ask = Thread(target=lambda url=url: answers.put(_answers(url, within_s)), daemon=True)
        ask.start()
    until = time.monotonic() + within_s
    try:
        return any(answers.get(timeout=max(0.0, until - time.monotonic())) for _ in urls)
    except Empty:
        return False


def _answers(url: str, timeout_s: float) -> bool:
    # It takes longer to import than to ask, and most builds ask nothing.
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        urlopen(url, timeout=timeout_s).close()
    except HTTPError:
        return True
    except URLError as error:
        # A certificate that Python does not know may be known to PlatformIO's settings.
        return isinstance(error.reason, SSLError)
    except (OSError, HTTPException):
        return False
    return True
