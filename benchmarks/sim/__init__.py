"""Simulated chips measured."""
