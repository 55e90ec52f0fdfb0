"""From prediction files to metrics: scores, tables, comparisons and ensembles; no torch."""
