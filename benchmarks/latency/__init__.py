"""Measurements of what latency rests on: instruction counts, sessions and the gate."""
