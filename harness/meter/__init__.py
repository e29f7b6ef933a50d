"""Meters: instruments that sample the current a board draws, behind one small interface."""
