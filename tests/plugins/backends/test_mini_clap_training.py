"""Training of the small encoders: what they hear and read, and that it repeats."""

import re
from itertools import product

import numpy as np
import pytest
import torch

from amrbench_plugins.backends import train_mini_clap
from amrbench_plugins.backends.mini_clap import MiniClap, Settings, load
from amrbench_plugins.backends.train_mini_clap import PRESETS, Training, isolated, make_pool, train
from amrbench_plugins.datasets.procedural import captions, sounds
from amrbench_plugins.datasets.procedural.captions import Subject
from amrbench_plugins.datasets.procedural.dsp import RATE
from amrbench_plugins.datasets.procedural.lexicon import LEXICON

TINY = Training(Settings(8, 6, (1,), 3, 64, 4), sounds_each=1, steps=3, batch=8)


class Listener:
    """Keeps what a training tells."""

    def __init__(self):
        self.notes, self.steps = [], []

    def note(self, text):
        self.notes.append(text)

    def data(self, progress):
        self.steps.append((progress.done, progress.total))

    def epoch(self, working, epoch):
        raise AssertionError("there are no epochs")


@pytest.fixture
def one_thread():
    """The command sets threads and flushing for its whole process; put them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def bits(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def trained():
    return train(TINY)


def test_training_repeats_bit_by_bit(trained):
    assert bits(train(TINY)) == bits(trained)


def test_another_seed_gives_other_weights(trained):
    assert bits(train(TINY, seed=1)) != bits(trained)


def test_training_leaves_the_global_generator_alone(trained):
    before = torch.random.get_rng_state()
    train(Training(TINY.settings, sounds_each=1, steps=1, batch=4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_training_moves_every_weight(trained):
    network = train_mini_clap._untrained(TINY.settings, make_pool(1, seed=0), 0)
    before = bits(network)
    kept = {name for name, value in bits(trained).items() if value == before[name]}
    assert kept == {"audio.mean", "audio.scale"}


def test_progress_is_told():
    listener = Listener()
    train(TINY, tell=listener)
    assert listener.steps == [(1, 3), (2, 3), (3, 3)]
    assert [re.sub(r"[\d.]+$", "x", note) for note in listener.notes] == ["step 3: loss x"]


def test_training_reads_no_held_out_wording(monkeypatch):
    read, phrase = [], captions.phrase

    def keep(rng, subject, **options):
        read.append((subject.sound, phrase(rng, subject, **options)))
        return read[-1][1]

    monkeypatch.setattr(captions, "phrase", keep)
    rng = np.random.default_rng(0)
    for name, value in product(sounds.CLASSES, (0, 1)):
        for _ in range(40):
            train_mini_clap._caption(rng, Subject(name, value, far=False))
    assert len(read) == 1600
    for sound, text in read:
        start, end = LEXICON[sound].unseen.split("{a}")
        assert not (text.startswith(start) and end in text), text


def test_the_pool_holds_every_class_and_value():
    pool = make_pool(1, seed=0)
    assert [(each.sound, each.value) for each in pool.subjects] == list(product(sounds.CLASSES, (0, 1)))
    assert pool.frames.shape == (40, 300, 64)
    assert pool.heard.shape == (40, 6)


def test_an_isolated_sound_is_on_where_it_is_said_to_be():
    clip = isolated(np.random.default_rng(3), Subject("vacuum", 0, far=False))
    assert clip.mix.shape == clip.on.shape == (6 * RATE,)
    power = clip.mix.astype(np.float64) ** 2
    assert power[clip.on == 1].mean() > 1.5 * power[clip.on == 0].mean()
    assert np.flatnonzero(np.diff(clip.on)).size <= 2


def test_a_caption_fits_all_clips_that_it_describes():
    picked = [Subject("dog", 0, False), Subject("dog", 1, True), Subject("rain", 0, False)]
    fits = train_mini_clap._targets(picked, [True, False, True])
    assert fits.tolist() == [[True, True, False], [False, True, False], [False, False, True]]


def test_loss_is_the_mean_over_sounding_seconds_and_half_that_over_silent_ones():
    network = MiniClap(TINY.settings).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    rows, sentences = torch.randn(3, 4, 8, generator=generator), torch.randn(3, 8, generator=generator)
    heard = torch.tensor([[0, 0.4, 1, 1], [0.6, 1, 0, 0], [0, 0, 0, 1]])
    described = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])
    scale, quiet = float(network.log_scale.exp()), float(network.silence)
    on, off = [], []
    for clip in range(3):
        for second in range(4):
            scores = [scale * float(rows[clip, second] @ sentence) for sentence in sentences] + [
                scale * quiet
            ]
            logs = np.array(scores) - np.log(np.exp(scores).sum())
            if heard[clip, second] > 0.5:
                right = [logs[j] for j in range(3) if described[clip, j]]
                on.append(-np.mean(right))
            elif heard[clip, second] == 0:
                off.append(-logs[-1])
    loss = train_mini_clap._loss(network, rows, heard, sentences, described)
    assert float(loss) == pytest.approx(np.mean(on) + 0.5 * np.mean(off), rel=1e-4)


def test_the_command_writes_a_file_that_can_be_loaded(tmp_path, monkeypatch, capsys, one_thread):
    monkeypatch.setitem(PRESETS, "mini-clap", TINY)
    monkeypatch.setattr("sys.argv", ["train_mini_clap", "mini-clap", str(tmp_path / "mini-clap.safetensors")])
    train_mini_clap.main()
    assert load("mini-clap", tmp_path / "mini-clap.safetensors").audio_width == 8
    output = capsys.readouterr()
    assert "step 3: loss" in output.err
    assert not output.out
