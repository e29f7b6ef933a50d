"""Boards: what they are, what is plugged in, which port is which, and who holds one."""
