"""Folders of finished runs that hold random predictions."""

import numpy as np

from amrbench.evaluation.result import (
    Environment,
    ProtocolRecord,
    RecipeRecord,
    Result,
    Row,
    StageRecord,
    write_result,
)
from amrbench.files.annotations import write_annotations
from amrbench.files.predictions import write_predictions
from amrbench.files.saliency import Saliency, write_saliency
from amrbench.functional.metrics import score
from amrbench.types import Moments, Query


def queries(recordings=40, per_recording=3):
    return [
        Query(f"{vid}_{index}", "a sound", f"v{vid}", 60.0, ((10.0 + index, 20.0 + index),))
        for vid in range(recordings)
        for index in range(per_recording)
    ]


def predictions(asked, accuracy, seed):
    """Return predictions that are right with this probability."""
    rng = np.random.default_rng(seed)
    predicted = []
    for query in asked:
        right = rng.random() < accuracy
        start = query.windows[0][0] if right else 40.0
        windows = np.array([[start, start + 10.0], [0.0, 5.0]])
        predicted.append(Moments(query.qid, query.vid, windows, np.array([0.9, 0.1])))
    return predicted


def write_row(folder, member, kind, moments, asked):
    """Write the predictions of a member and return its row."""
    file = f"predictions/{member.replace(' ', '-')}.test.jsonl"
    write_predictions(folder / file, moments)
    scores = score(moments, asked)
    return Row(
        member=member,
        kind=kind,
        split="test",
        queries=scores.queries,
        metrics=scores.metrics,
        predictions=file,
    )


def made_up_result(recipe, rows, *, features, protocol="tiny", about="For tests.", chains="shared", **fields):
    """Return the result of a run that never was; `fields` are those of `Result`."""
    plain = {
        "recipe": RecipeRecord(name=recipe, options={"name": recipe, "about": about, "features": features}),
        "protocol": ProtocolRecord(name=protocol, version=1, about=about, chains=chains, options={}),
        "hash": recipe,
        "conditions": "same",
        "data": (),
        "stages": (),
        "models": {},
        "parts": (),
        "environment": Environment(device="cpu", dtype="float32", threads=1, versions={}),
        "truth": "annotations.test.jsonl",
        "rows": tuple(rows),
    }
    return Result(**plain | fields)


def stage_record(key, parent="", *, epochs=1, seconds=1, log=""):
    """Return the record of a stage that was never trained; `parent` is the key of the one before it."""
    return StageRecord(
        key=key,
        selected={},
        epochs=epochs,
        steps=1,
        content={"parent": parent},
        stage=key,
        seconds=seconds,
        memory_mib=0,
        log=log,
    )


def chain_records(first, last, seeds, *, seconds=1):
    """Return `stages` and `models` of a result with a first and a last stage of each seed."""
    stages = tuple(
        stage_record(f"{name}-{seed}", parent and f"{parent}-{seed}", seconds=seconds)
        for seed in range(seeds)
        for name, parent in ((first, ""), (last, first))
    )
    return {"stages": stages, "models": {f"seed {seed}": f"{last}-{seed}" for seed in range(seeds)}}


def with_saliency(folder, row, asked):
    """Write a saliency file of a row, 1 inside of windows and 0 elsewhere; return the row that names it."""
    file = row.predictions.replace("predictions/", "saliency/")
    (folder / "saliency").mkdir()
    write_saliency(folder / file, [Saliency(query.qid, query.vid, 1.0, inside(query)) for query in asked])
    return row.model_copy(update={"saliency": file})


def inside(query):
    """Return 1 for each second of a recording that is in an annotated window, and 0 for the others."""
    seconds = np.arange(int(query.duration))
    return sum(((seconds >= start) & (seconds < end)).astype(np.float32) for start, end in query.windows)


def make_run(
    folder,
    *,
    accuracy=0.5,
    seeds=2,
    soup=None,
    asked=None,
    features="mini",
    shift=0,
    saliency=False,
    **fields,
):
    """Write the folder of a finished run with random predictions; another shift gives other ones."""
    asked = asked or queries()
    (folder / "predictions").mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: toy\n")
    (folder / "protocol.yaml").write_text("name: tiny\n")
    write_annotations(folder / "annotations.test.jsonl", asked)
    rows = [
        write_row(folder, f"seed {seed}", "seed", predictions(asked, accuracy, seed + shift), asked)
        for seed in range(seeds)
    ]
    if saliency:
        rows[0] = with_saliency(folder, rows[0], asked)
    if soup:
        rows.append(write_row(folder, "uniform", "soup", predictions(asked, soup, 99), asked))
    rows.append(write_row(folder, "whole recording", "prior", predictions(asked, 0, 0), asked))
    features = {"use": features} if isinstance(features, str) else features
    fields = {"stand_ins": f"{features['use']} stands in for clap"} | fields
    write_result(folder, made_up_result(folder.name, rows, features=features, **fields))
    return folder


def poor_and_good(folder):
    """Write two runs that differ clearly; the better one has a soup."""
    poor = make_run(folder / "poor", accuracy=0.3)
    return poor, make_run(folder / "good", accuracy=0.8, soup=0.9, shift=50)


def make_chains(folder, *, seeds=3, chains="own", stages="", seconds=1, **options):
    """Write a run of seeds with two stages each, named after the folder unless runs share `stages`."""
    run = stages or folder.name
    records = chain_records(f"{run}-pretrain", f"{run}-finetune", seeds, seconds=seconds)
    return make_run(folder, seeds=seeds, chains=chains, **records, **options)
