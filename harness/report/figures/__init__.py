"""Figures of the HTML report, one file for each kind: rows, arrays, picture."""
