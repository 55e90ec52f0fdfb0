"""From prediction files to figures: metrics, tables, comparisons and grids. Needs neither model nor torch."""
