"""The laws of CASTELLA: distributions of its annotations, and log-normal widths that reproduce them.

Source: the released annotations (Munakata et al. 2025, CC BY 4.0; folder `data` of
github.com/line/lighthouse). The tables are quantiles and counts of each split. The parameters of widths were
fitted to the widths and covered shares of all splits together, the medians to each split. No annotation is in
this package.
"""

from __future__ import annotations

from collections.abc import Mapping

from amrbench_plugins.datasets.layouts.laws import Counts, LogNormal, Quantiles, SplitLaw, Widths

SPLITS: Mapping[str, SplitLaw] = {
    "train": SplitLaw(
        seconds=Quantiles(
            (60, 88, 129, 182, 255, *(299,) * 10, 300, 300, 300, 300, 300, 300),
        ),
        queries=Counts((237, 316, 229, 152, 65)),
        windows=Counts((483, 184, 90, 64, 38, 39, 26, 17, 13, 13, 9, 5, 5, 4, 2, 0, 2, 1, 1, 1, 1)),
        width=4.0,
    ),
    "val": SplitLaw(
        seconds=Quantiles(
            (
                *(59, 65, 69, 75, 82, 95, 104, 108, 125, 135, 150),
                *(162, 179, 192, 208, 227, 240, 257, 286, 299, 300),
            )
        ),
        queries=Counts((343, 404, 197, 45, 11)),
        windows=Counts((480, 196, 97, 65, 51, 20, 20, 20, 9, 6, 9, 9, 6, 6, 0, 0, 0, 0, 3, 0, 3)),
        width=10.0,
    ),
    "test": SplitLaw(
        seconds=Quantiles(
            (
                *(59, 68, 80, 95, 109, 123, 139, 159, 182, 209, 230),
                *(251, 291, 299, 299, 299, 299, 299, 300, 300, 300),
            )
        ),
        queries=Counts((253, 327, 246, 138, 37)),
        windows=Counts((425, 183, 117, 71, 54, 44, 27, 14, 9, 12, 9, 7, 7, 4, 2, 1, 1, 3, 1, 2, 1, 1, 1, 1)),
        width=6.5,
    ),
}
"""Quantiles of lengths at every 5 %; queries a recording and windows a query in thousandths."""
WIDTHS = Widths(between=1.55, within=1.1, thinning=0.12, scaling=0.7, room=0.95)
GAP = LogNormal(median=22.0, sigma=1.2)
"""Gives, where gaps are narrowed to fit, quartiles near those of the annotations: 6, 14 and 34 s in train."""
