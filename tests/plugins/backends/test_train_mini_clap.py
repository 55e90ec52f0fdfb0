"""Training of the small encoders: its data, its loss, and that it repeats bit by bit."""

import re
from itertools import product

import numpy as np
import pytest
import torch

from amrbench_plugins.backends import train_mini_clap
from amrbench_plugins.backends.mini_clap import Config, MiniClap, load
from amrbench_plugins.backends.train_mini_clap import PRESETS, Training, isolated, make_pool, train
from amrbench_plugins.datasets.procedural import captions, sounds
from amrbench_plugins.datasets.procedural.captions import Subject
from amrbench_plugins.datasets.procedural.dsp import RATE
from amrbench_plugins.datasets.procedural.lexicon import LEXICON, NEW_TO_ENCODERS

TINY = Training(Config(8, 6, (1,), 3, 64, 4), sounds_each=1, steps=3, batch=8)


class Recorder:
    """Keeps all that a training reports."""

    def __init__(self):
        self.notes, self.steps = [], []

    def note(self, text):
        self.notes.append(text)

    def data(self, progress):
        self.steps.append((progress.done, progress.total))

    def epoch(self, stage, epoch):
        raise AssertionError("there are no epochs")


def bits(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def trained():
    return train(TINY)


def test_training_repeats_bit_by_bit(trained):
    assert bits(train(TINY)) == bits(trained)


def test_another_seed_gives_other_weights(trained):
    assert bits(train(TINY, seed=1)) != bits(trained)


def test_training_leaves_the_global_random_state_alone(trained):
    before = torch.random.get_rng_state()
    train(Training(TINY.config, sounds_each=1, steps=1, batch=4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_training_moves_every_weight(trained):
    network = train_mini_clap.untrained(TINY.config, make_pool(1, seed=0), 0)
    before = bits(network)
    kept = {name for name, value in bits(trained).items() if value == before[name]}
    assert kept == {"audio.mean", "audio.scale"}


def test_progress_is_reported():
    recorder = Recorder()
    train(TINY, reporter=recorder)
    assert recorder.steps == [(1, 3), (2, 3), (3, 3)]
    assert [re.sub(r"[\d.]+$", "x", note) for note in recorder.notes] == ["step 3: loss x"]


def test_training_reads_no_held_out_wording(monkeypatch):
    read, phrase = [], captions.phrase

    def keep(rng, subject, **options):
        read.append((subject.sound, phrase(rng, subject, **options)))
        return read[-1][1]

    monkeypatch.setattr(captions, "phrase", keep)
    rng = np.random.default_rng(0)
    for name, value in product(sounds.CLASSES, (0, 1)):
        for _ in range(40):
            train_mini_clap.draw_caption(rng, Subject(name, value, far=False))
    assert len(read) == 1600
    for sound, text in read:
        start, end = LEXICON[sound].unseen.split("{a}")
        assert not (text.startswith(start) and end in text), text


def test_training_reads_a_part_of_the_words_only():
    rng, new = np.random.default_rng(0), NEW_TO_ENCODERS["applause"]
    texts = [
        " ".join(train_mini_clap.draw_caption(rng, Subject("applause", value, far=False))[0])
        for value in (0, 1)
        for _ in range(100)
    ]
    words = [word for value in new.values for word in value]
    assert not [text for text in texts if any(word in text for word in (*words, *new.nouns))]


def test_training_hears_a_section_of_the_takes_only(monkeypatch):
    sections = []

    def keep(take, name, *, seconds):
        sections.append(take.section)
        return np.zeros(round(seconds * RATE), np.float32)

    monkeypatch.setattr(sounds, "sound", keep)
    make_pool(1, seed=0)
    assert set(sections) == {sounds.ENCODERS}


def test_the_pool_holds_every_class_and_value():
    pool = make_pool(1, seed=0)
    assert [(subject.sound, subject.value) for subject in pool.subjects] == list(
        product(sounds.CLASSES, (0, 1))
    )
    assert pool.frames.shape == (40, 300, 64)
    assert pool.sounding.shape == (40, 6)


def test_an_isolated_sound_is_on_where_it_is_marked():
    clip = isolated(np.random.default_rng(3), Subject("vacuum", 0, far=False))
    assert clip.mix.shape == clip.on.shape == (6 * RATE,)
    power = clip.mix.astype(np.float64) ** 2
    assert power[clip.on == 1].mean() > 1.5 * power[clip.on == 0].mean()
    assert np.flatnonzero(np.diff(clip.on)).size <= 2


def test_a_caption_is_a_target_of_all_clips_that_it_describes():
    subjects = [Subject("dog", 0, False), Subject("dog", 1, True), Subject("rain", 0, False)]
    described = train_mini_clap.described_clips(subjects, [True, False, True])
    assert described.tolist() == [[True, True, False], [False, True, False], [False, False, True]]


def test_loss_is_the_mean_over_sounding_seconds_and_half_that_over_silent_ones():
    network = MiniClap(TINY.config).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    rows, sentences = torch.randn(3, 4, 8, generator=generator), torch.randn(3, 8, generator=generator)
    sounding = torch.tensor([[0, 0.4, 1, 1], [0.6, 1, 0, 0], [0, 0, 0, 1]])
    described = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])
    scale, silence = float(network.log_scale.exp()), float(network.silence)
    on, off = [], []
    for clip in range(3):
        for second in range(4):
            scores = [scale * float(rows[clip, second] @ sentence) for sentence in sentences] + [
                scale * silence
            ]
            logs = np.array(scores) - np.log(np.exp(scores).sum())
            if sounding[clip, second] > 0.5:
                right = [logs[j] for j in range(3) if described[clip, j]]
                on.append(-np.mean(right))
            elif sounding[clip, second] == 0:
                off.append(-logs[-1])
    loss = train_mini_clap.contrastive_loss(network, rows, sounding, sentences, described)
    assert float(loss) == pytest.approx(np.mean(on) + 0.5 * np.mean(off), rel=1e-4)


def test_the_command_writes_a_file_that_can_be_loaded(tmp_path, monkeypatch, capsys, one_thread):
    monkeypatch.setitem(PRESETS, "mini-clap", TINY)
    monkeypatch.setattr("sys.argv", ["train_mini_clap", "mini-clap", str(tmp_path / "mini-clap.safetensors")])
    train_mini_clap.main()
    assert load("mini-clap", tmp_path / "mini-clap.safetensors").audio_width == 8
    output = capsys.readouterr()
    assert "step 3: loss" in output.err
    assert not output.out
