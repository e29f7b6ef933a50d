"""A hardware-in-the-loop test and benchmark harness for TinyML."""

__version__ = "0.1.0"
