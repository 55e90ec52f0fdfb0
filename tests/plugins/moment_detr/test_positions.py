"""Codes of time equal those of the reference."""

from __future__ import annotations

import json
import math

import torch
from torch.testing import assert_close

from amrbench_plugins.moment_detr.positions import anchor_sine, sine, temporal_columns
from tests.oracle import cgdetr_cases, cgdetr_layers

GOLDEN = json.loads((cgdetr_cases.GOLDEN.folder / "targets.json").read_text())["functions"]


def test_anchor_code_equals_the_reference() -> None:
    known = GOLDEN["query_sine_embedding_d16"]
    assert_close(
        anchor_sine(torch.tensor(known["anchors"]), 16), torch.tensor(known["out"]), rtol=0, atol=2e-6
    )


def test_frame_code_equals_the_reference() -> None:
    known = GOLDEN["position_embedding_d8"]
    code = sine(torch.tensor(known["mask"]) > 0, 8)
    assert_close(code, torch.tensor(known["out"]), rtol=0, atol=2e-6)


def test_frame_code_equals_the_reference_inside_the_model() -> None:
    code = sine(cgdetr_cases.inputs("main").audio_mask, 32)
    assert_close(code, cgdetr_cases.arrays()["main/mid/position_embed"], rtol=0, atol=2e-6)


def test_codes_equal_the_oracle_at_the_full_width() -> None:
    mask = torch.arange(300) < torch.tensor([[300], [1], [77]])
    anchors = torch.rand(2, 10, 2, generator=torch.Generator().manual_seed(0))
    assert_close(sine(mask, 256), cgdetr_layers.frame_sine(mask, 256))
    assert_close(anchor_sine(anchors, 256), cgdetr_layers.anchor_sine(anchors, 256))


def test_anchor_code_equals_the_formula_number_by_number() -> None:
    width, centre, extent = 12, 0.3, 0.7
    code = anchor_sine(torch.tensor([centre, extent], dtype=torch.float64), width)
    for index, value in enumerate(code.tolist()):
        part, channel = divmod(index, width // 2)
        angle = 2 * math.pi * (centre, extent)[part] / 10000 ** (2 * (channel // 2) / (width // 2))
        assert math.isclose(value, math.cos(angle) if channel % 2 else math.sin(angle), abs_tol=1e-6)


def test_temporal_columns_equal_the_reference() -> None:
    columns = temporal_columns(torch.ones(1, 5, dtype=torch.bool))
    assert_close(columns[0], torch.tensor(GOLDEN["tef_len5"]), rtol=0, atol=1e-7)


def test_temporal_columns_equal_those_of_the_golden_batch() -> None:
    batch = cgdetr_cases.inputs("two_same_of_four")
    assert_close(temporal_columns(batch.audio_mask), batch.temporal, rtol=0, atol=1e-7)


def test_extra_padding_changes_nothing() -> None:
    mask = torch.arange(9) < torch.tensor([[4], [9]])
    longer = torch.nn.functional.pad(mask, (0, 5))
    assert_close(temporal_columns(longer)[:, :9], temporal_columns(mask))
    assert_close(sine(longer, 16)[:, :9], sine(mask, 16))


def test_a_recording_without_frames_gives_zeros() -> None:
    assert_close(temporal_columns(torch.zeros(1, 3, dtype=torch.bool)), torch.zeros(1, 3, 2))


def test_recordings_of_one_length_have_the_same_code_as_alone() -> None:
    mask = torch.arange(60) < torch.tensor([[60], [17], [60], [59], [17]])
    code = sine(mask, 64)
    for index in range(len(mask)):
        assert code[index].equal(sine(mask[index : index + 1], 64)[0])
