"""How runs were trained: the loss and the validation of each epoch, for each stage and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amrbench.evaluation.result import StageRecord
from amrbench.pages.charts import LineChart, Series, chart_grid
from amrbench.pages.making_section import ReportedRun
from amrbench.pages.page import Markup, Section, heading, joined, paragraph
from amrbench.training.log import Epoch, read_copy


@dataclass(frozen=True)
class TrainedSeeds:
    """The seeds of one stage of a run.

    Attributes:
        name: E.g. "ours3 finetune"; with the run if several of one recipe are on the page.
        select: The metric that chooses the epoch.
        keys: Of the stages in the store.
        epochs: By the name of the seed.
        chosen: Number of the epoch whose weights are used, by seed and read-out.
    """

    name: str
    select: str
    keys: frozenset[str]
    epochs: Mapping[str, Sequence[Epoch]]
    chosen: Mapping[str, Mapping[str, int]]


def training_section(runs: Sequence[ReportedRun]) -> Section:
    """Return the section with the curves of all runs; what several runs share is drawn once."""
    without = [run.name for run in runs if not _has_logs(run)]
    parts = [
        paragraph(
            f"No curves of {', '.join(without)}: made by a version of amrbench that did not copy the logs of "
            "stages into runs. Run the recipe again with another --out: finished stages are used, and their "
            "logs copied."
        )
    ] * bool(without)
    drawn: dict[frozenset[str], str] = {}
    for run in filter(_has_logs, runs):
        for seeds in _stages(run):
            if seeds.keys in drawn:
                parts.append(paragraph(f"{seeds.name}: the same as {drawn[seeds.keys]}."))
                continue
            drawn[seeds.keys] = seeds.name
            parts += [heading(seeds.name), *_chosen(seeds), chart_grid([*_charts(seeds)])]
    return Section("Training", joined(parts))


def _has_logs(run: ReportedRun) -> bool:
    return all(stage.log for stage in run.result.stages)


def _stages(run: ReportedRun) -> Iterator[TrainedSeeds]:
    """Yield the stages of a run in the order of training."""
    groups: dict[str, list[tuple[str, StageRecord]]] = {}
    owner = "" if run.name == run.result.recipe.name else f" of {run.name}"
    for stage in run.result.stages:
        name, _, seed = stage.stage.partition(", seed ")
        groups.setdefault(name, []).append((f"seed {seed or 0}", stage))
    for name, stages in groups.items():
        yield TrainedSeeds(
            name=name + owner,
            select=run.result.recipe.options["training"]["select"][0],
            keys=frozenset(stage.key for _, stage in stages),
            epochs={seed: read_copy(run.folder / stage.log) for seed, stage in stages},
            chosen={
                seed: {readout: selected.epoch for readout, selected in stage.selected.items()}
                for seed, stage in stages
            },
        )


def _chosen(seeds: TrainedSeeds) -> list[Markup]:
    readouts = dict.fromkeys(readout for chosen in seeds.chosen.values() for readout in chosen)
    return [
        paragraph(
            f"Epoch with the best {seeds.select} of the read-out {readout}: "
            + ", ".join(
                f"{chosen[readout]} ({seed})" for seed, chosen in seeds.chosen.items() if readout in chosen
            )
            + "."
        )
        for readout in readouts
    ]


def _charts(seeds: TrainedSeeds) -> Iterator[Markup]:
    """Yield the charts of a stage: loss, validation for each read-out, and the terms of the first seed."""
    yield LineChart(
        title=f"{seeds.name}: loss",
        about="The mean over the steps of an epoch of the sum that is minimised, for each seed.",
        x_label="epoch",
        y_label="loss",
        from_zero=False,
        series=[
            Series(seed, [epoch.epoch for epoch in epochs], [epoch.total for epoch in epochs], number)
            for number, (seed, epochs) in enumerate(seeds.epochs.items())
        ],
    ).html()
    for readout in dict.fromkeys(
        name for own in seeds.epochs.values() for epoch in own for name in epoch.val
    ):
        yield LineChart(
            title=f"{seeds.name}: validation, {readout}",
            about=f"{seeds.select} of the read-out {readout} on the selection split, for each seed.",
            x_label="epoch",
            y_label=f"{seeds.select}, %",
            series=[
                Series(
                    seed,
                    [epoch.epoch for epoch in epochs],
                    [epoch.val.get(readout, {}).get(seeds.select) for epoch in epochs],
                    number,
                )
                for number, (seed, epochs) in enumerate(seeds.epochs.items())
            ],
        ).html()
    first, epochs = next(iter(seeds.epochs.items()))
    yield LineChart(
        title=f"{seeds.name}: terms of the loss, {first}",
        about="The mean over the steps of an epoch of each term, with its weight.",
        x_label="epoch",
        y_label="term",
        from_zero=False,
        series=[
            Series(
                term, [epoch.epoch for epoch in epochs], [epoch.losses.get(term) for epoch in epochs], number
            )
            for number, term in enumerate(dict.fromkeys(name for epoch in epochs for name in epoch.losses))
        ],
    ).html()
