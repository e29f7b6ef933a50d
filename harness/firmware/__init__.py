"""Firmware for a board and a model: generates its source, builds it, and reads its ELF file."""
