"""What the shipped small encoders know, and the command that measures it."""

from __future__ import annotations

import numpy as np
import pytest

from amrbench_plugins.backends import measure_mini_clap
from amrbench_plugins.backends.mini_clap import Config, MiniClap, load, save
from amrbench_plugins.backends.train_mini_clap import PRESETS


@pytest.fixture(scope="module")
def measured():
    lines = [line for name in PRESETS for line in measure_mini_clap.measure(load(name), sounds_each=2)]
    return {(line.encoder, line.wording): line for line in lines}


def test_shipped_encoders_know_classes(measured):
    assert measured["mini-clap", "seen"].sound > 80
    assert measured["mini-clap-wide", "seen"].sound > 95


def test_the_wide_encoder_is_clearly_better(measured):
    for wording in ("seen", "unseen"):
        wide, small = measured["mini-clap-wide", wording], measured["mini-clap", wording]
        assert wide.kind > small.kind + 10


def test_unseen_wording_is_harder_but_far_above_chance(measured):
    for name in PRESETS:
        seen, unseen = measured[name, "seen"], measured[name, "unseen"]
        assert 4 * 2.5 < unseen.kind < seen.kind


def test_nearest_is_the_sentence_with_the_largest_product():
    rows = np.eye(len(measure_mini_clap.KINDS), dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(rows))

    class Reader:
        def text(self, sentences):
            return [np.stack([rows[0], rows[number]]) for number in range(len(sentences))]

    seconds = measure_mini_clap.Seconds(rows[order], order)
    rng = np.random.default_rng(0)
    kinds = measure_mini_clap.nearest(Reader(), seconds, rng, measure_mini_clap.Wording.VALUE)
    assert kinds.tolist() == order.tolist()


def test_the_command_prints_a_table(tmp_path, capsys, one_thread):
    file = tmp_path / "small.safetensors"
    save(MiniClap(Config(8, 6, (1, 2), 3, 64, 4)), file)
    measure_mini_clap.main([str(file), "--each", "1"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("|")[1].strip() for line in lines]
    assert names[:1] + names[2:] == ["encoder", "small", "small", "chance"]
    assert [part.strip() for part in lines[-1].split("|")[3:5]] == ["5.0", "2.5"]
