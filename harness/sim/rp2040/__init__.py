"""The RP2040, simulated by the package rp2040py, with what firmware needs around it."""
