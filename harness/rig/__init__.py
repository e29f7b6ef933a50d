"""Boards at work: started or found, flashed, opened, measured, and brought back."""
