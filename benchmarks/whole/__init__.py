"""Measurements of whole runs: wall time, boards, runtimes, models, training."""
