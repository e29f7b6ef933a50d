"""Local PlatformIO platform: everything is in builder/ and boards/, nothing is downloaded."""

from platformio.public import PlatformBase


class Hil_emulatedPlatform(PlatformBase):
    """Bare Cortex-M and RISC-V boards, emulated and real."""
