"""Measurements of the harness itself; each prints ratios measured side by side."""
