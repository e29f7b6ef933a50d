"""Measurements of the link: framing, throughput, faults, fuzzing and a soak."""
