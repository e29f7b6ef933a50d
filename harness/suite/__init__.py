"""The board tests: `pytest --board ID` in a checkout, `--pyargs harness.suite` anywhere else."""
