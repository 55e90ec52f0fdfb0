"""One sound input of each kind, made by the commands themselves: what the mutation run changes."""

import csv
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.tools.pack_submission import TEMPLATE
from tests.folders import DATA
from tests.mutation.isolation import call

RECIPE = """\
name: tiny
features: mini-clap
limits: {frames: 30, words: 8}
model: {use: dual-encoder, width: 8, hidden: 8, dropout: 0.1}
training:
  batch: 4
  clip: 1.0
  targets: {use: moments, saliency: all-windows}
  matcher: none
  losses: [frame-bce]
  optimizer: {use: adamw, lr: 1.0e-3, weight_decay: 1.0e-2, schedule: {use: cosine, warmup: 0.1}}
  readouts: [window-search]
stages:
  - {name: finetune, data: target, epochs: 1, input_dropout: 0.1, seeds: many}
soup: uniform
readout: {use: window-search, count: 3, lengths: 3, overlap: 0.5}
ranking: [{use: clip, to: recording}, round]
"""
DETECTOR = """\
name: detector
features: mini-clap
limits: {frames: 40, words: 8}
model:
  use: moment-detr
  width: 8
  attention_heads: 2
  feedforward: 8
  dropout: 0.1
  activation: swish
  audio_refine: [temporal-difference]
  temporal_embedding: {use: fourier, frequencies: 4, sigma: 10.0}
  fusion: {use: adaptive-cross-attention, layers: 1, dummies: 2, prompts: 2, prompts_used: 1}
  text_summary: {use: transformer, layers: 1}
  encoder: {use: registers, count: 2, around: {use: transformer, layers: 1}}
  query: {use: film, content: learned, anchors: {use: percentiles, count: 6}}
  decoder: {use: dab, layers: 2, prior: bimodal-gaussian}
  heads: [task-aligned, saliency]
training:
  batch: 4
  targets: {use: moments, saliency: all-windows, max_windows: 10, pairs: 4}
  augment: [{use: random-shift, probability: 0.8, margin: 3, growth: 1.0}]
  matcher: {use: hungarian, span: 10, giou: 1, score: 4}
  losses: [{use: span-l1, weight: 10}, {use: varifocal, weight: 4}, {use: saliency, weight: 1}]
  optimizer: {use: ema, horizon: 0.5, around: {use: adamw, lr: 1.0e-4, schedule: {use: cosine, warmup: 0.05}}}
  readouts: [decoder, window-search]
stages:
  - {name: pretrain, data: pretrain, epochs: 2, input_dropout: 0.5}
  - {name: finetune, data: target, epochs: 1, input_dropout: 0.1, seeds: many, fresh: [query.anchors]}
soup: none
readout: decoder
ranking: [{use: clip, to: recording}, round]
"""
STUDY = """\
study: pieces
about: What two options are worth.
base: detector
full: fuller
families: [only, without]
groups: {sizes: [model.encoder, model.decoder]}
"""
PROTOCOL = """\
name: own
about: A data set of one's own.
data:
  pretrain: {use: files, folder: own}
  midtrain: {use: files, folder: own}
  target: {use: files, folder: own}
budget: {width: 8, batch: 4, lr: 1.0e-3, epochs: {target: 1}}
seeds: 2
splits: {train: [train], select: val, report: test}
slices: [kind]
"""
SECONDS, RATE = 4, 16000
WIDTH = 64
"""Of the rows of `mini-clap-wide`."""


def make_inputs(folder: Path) -> None:
    """Write a data set, its features, a run, tables, a checkpoint, features and archives into a folder."""
    _write_data_set(folder / "own")
    _write_recipes(folder)
    _write_tables(folder / "tables")
    _write_sounds(folder / "sounds")
    for command in (
        ("data", "extract", "own", "--encoder", "mini-clap"),
        ("run", "recipe.yaml", "--protocol", "protocol.yaml", "--jobs", "1"),
    ):
        outcome = call(folder, command)
        if outcome.code:
            raise RuntimeError(f"{command} fails on sound inputs: {outcome.text}")
    (run,) = (folder / "runs").iterdir()
    run.rename(folder / "runs" / "tiny")
    _write_predictions(folder)
    (folder / "meta.yaml").write_bytes(TEMPLATE.read_bytes())
    _write_published(folder / "published")
    _write_checkpoints(folder / "checkpoints")


def _write_data_set(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    for split, count in (("train", 3), ("val", 2), ("test", 3)):
        rows = []
        for vid in (f"{split}{index}" for index in range(count)):
            waveform = rng.normal(0, 0.1, SECONDS * RATE).astype(np.float32)
            soundfile.write(folder / "audio" / f"{vid}.wav", waveform, RATE)
            rows += [
                {
                    "qid": f"{vid}_{number}",
                    "query": sentence,
                    "vid": vid,
                    "duration": float(SECONDS),
                    "relevant_windows": [[number, number + 2]],
                    "kind": "ab"[number],
                }
                for number, sentence in enumerate(("a dog barks", "rain on a roof"))
            ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_recipes(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "detector.yaml").write_text(DETECTOR)
    fuller = yaml.safe_load(DETECTOR)
    fuller["name"] = "fuller"
    fuller["model"]["encoder"] = {"use": "transformer", "layers": 1}
    fuller["model"]["decoder"] |= {"layers": 1}
    fuller["training"]["clip"] = 0.5
    (folder / "fuller.yaml").write_text(yaml.safe_dump(fuller, sort_keys=False))
    (folder / "study.yaml").write_text(STUDY)
    (folder / "protocol.yaml").write_text(PROTOCOL)


def _write_tables(folder: Path) -> None:
    folder.mkdir()
    rows = [(f"test{i}", f"a dog, number {i}", 0.5 * i, 1 + 0.5 * i, SECONDS) for i in range(3)]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerows([("vid", "query", "start", "end", "duration"), *rows])
    with (folder / "labels.tsv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerows([("vid", "query", "start", "end", "duration"), *rows])
    (folder / "test0.txt").write_text("0.5\t1.5\ta dog\n\\\t100\t200\n2.0\t3.5\train\n")
    moments = [{"local_caption": "a dog", "timestamps": [[0.5, 2.0], [2.5, 3]]}]
    castella = [{"yid": f"test{i}", "duration": SECONDS, "moments": moments} for i in range(2)]
    (folder / "castella.json").write_text(json.dumps(castella, indent=1))
    raven = [
        ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "Annotation"),
        (1, "Spectrogram 1", 1, 0.5, 1.5, 100, "a dog"),
    ]
    with (folder / "test1.txt").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows(raven)


def _write_sounds(folder: Path) -> None:
    folder.mkdir()
    waveform = np.random.default_rng(1).normal(0, 0.1, (RATE, 2)).astype(np.float32)
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"):
        soundfile.write(folder / f"sound.{suffix}", waveform, RATE)
    soundfile.write(folder / "float.wav", waveform, RATE, subtype="FLOAT")


def _write_predictions(folder: Path) -> None:
    """Write predictions with scores of zero or more, which fusion needs."""
    (folder / "scores").mkdir()
    for seed in (0, 1):
        lines = (folder / f"runs/tiny/predictions/seed-{seed}.test.jsonl").read_text().splitlines()
        with (folder / f"scores/{seed}.jsonl").open("w") as file:
            for row in map(json.loads, lines):
                windows = [[start, end, abs(score)] for start, end, score in row["pred_relevant_windows"]]
                file.write(json.dumps(row | {"pred_relevant_windows": windows}) + "\n")


def _write_published(folder: Path) -> None:
    """Write features of the data set in the published layout, loose and in archives."""
    rng = np.random.default_rng(2)
    for split in ("train", "val", "test"):
        lines = (folder.parent / "own" / f"{split}.jsonl").read_text().splitlines()
        for row in map(json.loads, lines):
            audio, text = folder / "loose" / "clap", folder / "loose" / "clap_text"
            audio.mkdir(parents=True, exist_ok=True)
            text.mkdir(exist_ok=True)
            rows = rng.normal(size=(SECONDS, WIDTH)).astype(np.float32)
            np.savez(audio / f"{row['vid']}.npz", features=rows)
            words = rng.normal(size=(3, WIDTH)).astype(np.float32)
            np.savez_compressed(text / f"qid{row['qid']}.npz", last_hidden_state=words)
    files = sorted((folder / "loose").rglob("*.npz"))
    for name, mode in (("features.tar", "w"), ("features.tar.gz", "w:gz"), ("features.tar.xz", "w:xz")):
        with tarfile.open(folder / name, mode) as archive:
            for file in files:
                archive.add(file, file.relative_to(folder / "loose"))
    with zipfile.ZipFile(folder / "features.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder / "loose"))


def _write_checkpoints(folder: Path) -> None:
    """Write the small reference checkpoint in both formats of torch, with few queries and their features."""
    source = DATA / "lighthouse_checkpoint"
    checkpoint = read_checkpoint(source / "best.ckpt")
    content = {"model": checkpoint.weights, "opt": dict(checkpoint.options), "epoch": 3}
    folder.mkdir()
    torch.save(content, folder / "zip.ckpt")
    torch.save(content, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    lines = (source / "data" / "castella_test_release.jsonl").read_text().splitlines()[:2]
    (folder / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines))
    for row in map(json.loads, lines):
        for name in (f"clap/{row['vid']}.npz", f"clap_text/qid{row['qid']}.npz"):
            target = folder / "features" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((source / "features" / "castella" / name).read_bytes())
