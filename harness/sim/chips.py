"""Chips that can be simulated, by the name that boards.toml gives them."""

from __future__ import annotations

from harness.sim.nrf52840.chip import UART, USB, Nrf52840

CHIPS = {"nrf52840": Nrf52840}
WIRES = (UART, USB)
"""The wires that a chip may have to the outside."""
