"""What ranking steps do to published predictions of a QD-DETR for CASTELLA.

Steps are fitted on its predictions for val and measured on those for test. The files have scores, but no
saliency and no predicted IoU. Prints the table of docs/readouts.md: python -m benchmarks.rank_published
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from amrbench.functional.metrics import score
from amrbench.slots.ranking import RankingPart
from amrbench.training.predict import ranked
from amrbench.training.reading import fit_ranking
from amrbench.types import Candidates, Moments, Query
from amrbench_plugins.ranking.parts import Calibrated, Nms
from tests.oracle.reference_predictions import published

VAL, TEST = "castella_val_best_c2b90e2", "castella_test_c2b90e2"
SHOWN = ("R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP")
OVERLAPS = (0.3, 0.5, 0.7, 0.9)


def candidates_of(moments: Moments) -> Candidates:
    """Return published moments as candidates, best first."""
    assert moments.scores is not None
    table = np.column_stack([moments.windows, moments.scores]).astype(np.float32)
    return Candidates(table).with_scores(table[:, 2])


def measured(name: str, steps: Sequence[RankingPart]) -> dict[str, float]:
    """Return the metrics of a published file after steps that are fitted on the predictions for val."""
    val, case = published(VAL), published(name)

    def examples() -> list[tuple[Candidates, Query]]:
        return [(candidates_of(own), query) for own, query in zip(val.predictions, val.truth, strict=True)]

    fitted = fit_ranking(steps, examples)
    built = [step.build(fitted.get(step.use, {})) for step in steps]
    own = [candidates_of(moments) for moments in case.predictions]
    return dict(score(ranked(own, case.truth, built), case.truth).metrics)


def chosen_on_val(before: Sequence[RankingPart]) -> Nms:
    """Return the suppression with the best R1@0.7, then mAP, on val."""
    parts = [Nms(overlap=overlap) for overlap in OVERLAPS]
    vals = [measured(VAL, [*before, part]) for part in parts]
    return parts[max(range(len(parts)), key=lambda index: (vals[index]["R1@0.7"], vals[index]["mAP"]))]


def main() -> None:
    """Print a row for each list of steps."""
    calibrated = Calibrated()
    plain, after = chosen_on_val([]), chosen_on_val([calibrated])
    lists = {
        "as published": [],
        f"nms, overlap {plain.overlap:g} chosen on val": [plain],
        "calibrated": [calibrated],
        f"calibrated, nms, overlap {after.overlap:g} chosen on val": [calibrated, after],
    }
    rows = [
        [text, split, *(f"{measured(name, steps)[metric]:.2f}" for metric in SHOWN)]
        for text, steps in lists.items()
        for split, name in (("val (fitted)", VAL), ("test", TEST))
    ]
    print(tabulate(rows, headers=["steps", "split", *SHOWN], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
