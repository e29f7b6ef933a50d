"""Simulated chips that run a board's own ELF: a CPU by unicorn, and a table for each peripheral.

`python -m harness.sim CHIP ELF` serves one on a pty. Time is a count of instructions.
"""
