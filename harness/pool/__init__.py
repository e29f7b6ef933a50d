"""Boards that are shared: a labgrid coordinator's places, through labgrid's own programs."""
