"""What was measured: the CSV tables, statistics, comparisons, baselines and the gate."""
