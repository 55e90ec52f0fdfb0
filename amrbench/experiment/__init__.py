"""From recipes and a protocol to finished runs; forecasts, checks, and predictions of foreign checkpoints."""
