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
    return {(line.encoder, line.takes, line.wording): line for line in lines}


def test_shipped_encoders_know_the_classes_they_were_trained_on(measured):
    assert measured["mini-clap", "trained", "trained"].sound > 80
    assert measured["mini-clap-wide", "trained", "trained"].sound > 95


def test_the_wide_encoder_is_clearly_better(measured):
    for takes, wording in (
        ("trained", "trained"),
        ("of data sets", "of data sets"),
        ("of data sets", "held out"),
    ):
        wide, small = (measured[name, takes, wording] for name in ("mini-clap-wide", "mini-clap"))
        assert wide.kind > small.kind + 10


def test_what_data_sets_sound_and_say_is_partly_new_to_them(measured):
    for name in PRESETS:
        trained, usual, held_out = (
            measured[name, kind, kind].kind for kind in ("trained", "of data sets", "held out")
        )
        assert trained > usual + 5
        assert usual > held_out + 10
        assert held_out > 2 * 2.5


def test_nearest_is_the_sentence_with_the_largest_product():
    rows = np.eye(len(measure_mini_clap.KINDS), dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(rows))

    class Reader:
        def text(self, sentences):
            return [np.stack([rows[0], rows[number]]) for number in range(len(sentences))]

    seconds = measure_mini_clap.Seconds(rows[order], order)
    rng = np.random.default_rng(0)
    kinds = measure_mini_clap.nearest(Reader(), seconds, rng, "trained")
    assert kinds.tolist() == order.tolist()


def test_the_command_prints_a_table(tmp_path, capsys, one_thread):
    file = tmp_path / "small.safetensors"
    save(MiniClap(Config(8, 6, (1, 2), 3, 64, 4)), file)
    measure_mini_clap.main([str(file), "--each", "1"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("|")[1].strip() for line in lines]
    assert names[:1] + names[2:] == ["encoder", *["small"] * 9, "chance"]
    assert [part.strip() for part in lines[-1].split("|")[4:6]] == ["5.0", "2.5"]
