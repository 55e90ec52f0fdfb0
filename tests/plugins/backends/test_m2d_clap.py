from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from amrbench.errors import CheckpointError, DataError
from amrbench_plugins.backends.m2d_clap import bert, vit
from amrbench_plugins.backends.m2d_clap.encoder import fill_audio, load
from amrbench_plugins.backends.m2d_clap.wordpiece import WordPiece, words
from amrbench_plugins.backends.parts import M2dClap
from tests.plugins.backends.published import M2D_AUDIO, M2D_TEXT, WORDS, m2d_files, m2d_weights, random


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return m2d_files(tmp_path_factory.mktemp("m2d"))


@pytest.fixture(scope="module")
def encoder(files):
    return load(*files, "sentence")


# ---------------------------------------------------------------- front end


def mel_by_hand(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def hertz_by_hand(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def log_mel_by_hand(wave: np.ndarray) -> np.ndarray:
    """Frame by frame, bin by bin, filter by filter."""
    padded = np.pad(wave.astype(np.float64), 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    low, high = mel_by_hand(50), mel_by_hand(8000)
    corners = [hertz_by_hand(low + (high - low) * n / 81) for n in range(82)]
    rows = []
    for start in range(0, len(wave) + 1, 160):
        power = np.abs(np.fft.rfft(padded[start : start + 400] * window)) ** 2
        row = []
        for a, b, c in zip(corners, corners[1:], corners[2:], strict=False):
            total = 0.0
            for k in range(201):
                at = k * 40.0
                total += max(0.0, min((at - a) / (b - a), (c - at) / (c - b))) * 2 / (c - a) * power[k]
            row.append(math.log(total + 1.1920929e-07))
        rows.append(row)
    return np.array(rows)


def test_the_front_end_is_the_formula():
    wave = noise(0.2)
    found = vit.LogMel()(torch.from_numpy(wave)[None])[0].numpy()
    assert found.shape == (21, 80)
    np.testing.assert_allclose(found, log_mel_by_hand(wave), atol=2e-4)


# ---------------------------------------------------------------- audio


def block_by_hand(x: Tensor, weights: dict[str, Tensor], prefix: str, heads: int, eps: float) -> Tensor:
    """One transformer layer, head by head and token by token."""

    def get(name):
        return weights[f"{prefix}.{name}"]

    def norm(value, name):
        centred = value - value.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return centred / deviation * get(f"{name}.weight") + get(f"{name}.bias")

    size = x.shape[1] // heads
    mixed = norm(x, "norm1") @ get("attn.qkv.weight").T + get("attn.qkv.bias")
    query, key, value = mixed.split(x.shape[1], dim=1)
    heard = torch.zeros_like(x)
    for head in range(heads):
        at = slice(head * size, (head + 1) * size)
        for token in range(len(x)):
            scores = (key[:, at] * query[token, at]).sum(1) / math.sqrt(size)
            heard[token, at] = (scores.softmax(0)[:, None] * value[:, at]).sum(0)
    x = x + heard @ get("attn.proj.weight").T + get("attn.proj.bias")
    hidden = norm(x, "norm2") @ get("mlp.fc1.weight").T + get("mlp.fc1.bias")
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return x + hidden @ get("mlp.fc2.weight").T + get("mlp.fc2.bias")


def second_by_hand(wave: np.ndarray, weights: dict[str, Tensor]) -> Tensor:
    """The row of one second, from the published names alone."""
    weights = {name.removeprefix("backbone."): each.double() for name, each in weights.items()}
    mean, deviation = weights["norm_stats"]
    picture = (torch.from_numpy(log_mel_by_hand(wave)) - mean) / deviation
    kernel, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    tokens = [weights["cls_token"][0, 0] + weights["pos_embed"][0, 0]]
    for row in range(5):
        for column in range(len(picture) // 16):
            patch = picture[16 * column : 16 * column + 16, 16 * row : 16 * row + 16].T
            value = (kernel[:, 0] * patch).sum((1, 2)) + bias
            tokens.append(value + weights["pos_embed"][0, 1 + 62 * row + column])
    x = torch.stack(tokens)
    for number in range(2):
        x = block_by_hand(x, weights, f"blocks.{number}", 1, 1e-6)
    x = functional.layer_norm(x, (64,), weights["norm.weight"], weights["norm.bias"], 1e-6)[1:]
    x = torch.cat([weights["audio_proj.sem_token"][0], x])
    x = block_by_hand(x, weights, "audio_proj.sem_blocks.0", 1, 1e-5)
    return functional.layer_norm(
        x, (64,), weights["audio_proj.norm.weight"], weights["audio_proj.norm.bias"], 1e-5
    )[0]


def test_each_second_is_what_the_published_names_say(encoder):
    wave = noise(2.4)
    found = encoder.audio(wave)
    assert found.shape == (2, 64)
    for second in range(2):
        by_hand = second_by_hand(wave[16000 * second : 16000 * second + 16000], m2d_weights())
        np.testing.assert_allclose(found[second], by_hand.numpy(), atol=2e-4)


def test_attention_with_several_heads_is_the_formula():
    block = vit.Block(32, 4, 48, eps=1e-6).double()
    weights = {f"b.{name}": each.double() for name, each in random(block.state_dict()).items()}
    block.load_state_dict({name[2:]: each for name, each in weights.items()})
    x = torch.randn(5, 32, dtype=torch.float64)
    assert_close(block(x[None])[0], block_by_hand(x, weights, "b", 4, 1e-6))


@pytest.mark.parametrize(("seconds", "rows"), [(0, 0), (0.5, 0), (1, 1), (2.99, 2), (17.2, 17)])
def test_there_is_a_row_for_each_whole_second(encoder, seconds, rows):
    assert encoder.audio(noise(seconds)).shape == (rows, 64)


def test_rows_depend_on_their_own_second_alone(encoder):
    wave = noise(20)
    together = encoder.audio(wave)
    alone = np.concatenate([encoder.audio(wave[16000 * t : 16000 * t + 16000]) for t in range(20)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.array_equal(together, encoder.audio(wave))


def test_silence_and_full_scale_are_finite(encoder):
    for wave in (np.zeros(16000), np.ones(16000), np.sign(noise(1))):
        assert np.isfinite(encoder.audio(wave.astype(np.float32))).all()


def test_a_bright_band_changes_the_tokens_of_its_row_alone():
    net = fill_audio(
        {n.removeprefix("backbone."): t for n, t in m2d_weights().items() if n.startswith("backbone.")}, "x"
    )
    dark = torch.zeros(1, 80, 101)
    bright = dark.clone()
    bright[:, 32:48] = 5
    one, other = (net.placed(net.patch_embed(picture))[0] for picture in (dark, bright))
    changed = (one - other).abs().sum(1) > 0
    assert changed.nonzero().flatten().tolist() == list(range(1 + 2 * 6, 1 + 3 * 6))


# ---------------------------------------------------------------- text


def test_bert_is_the_formula(encoder):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=64, num_hidden_layers=2, num_attention_heads=1,
        intermediate_size=96, max_position_embeddings=12,
    )  # fmt: skip
    oracle = transformers.BertModel(config, add_pooling_layer=False).eval()
    prefix = "text_encoder.text_encoder."
    weights = {n.removeprefix(prefix): t for n, t in m2d_weights().items() if n.startswith(prefix)}
    oracle.load_state_dict({n: t for n, t in weights.items() if not n.startswith("pooler")})
    ids = torch.tensor([[2, 4, 5, 6, 7, 3]])
    with torch.no_grad():
        wanted = oracle(ids, torch.ones_like(ids)).last_hidden_state[0]
    assert encoder.words.ids("a dog barks", 12) == ids[0].tolist()
    np.testing.assert_allclose(encoder.text(["a dog barks"])[0], wanted[:1].numpy(), atol=1e-5)


def test_tokens_stand_after_the_sentence(files, encoder):
    tokens = load(*files, "tokens")
    first, second = tokens.text(["a dog barks!", "rain"])
    assert (first.shape, second.shape) == ((6, 64), (2, 64))
    assert np.array_equal(first[:1], encoder.text(["a dog barks!"])[0])
    assert tokens.fingerprint() != encoder.fingerprint()


def test_bert_with_several_heads_is_the_formula():
    transformers = pytest.importorskip("transformers")
    sizes = replace(M2D_TEXT, heads=4)
    net = bert.Bert(sizes).eval()
    net.load_state_dict(random(net.state_dict()))
    config = transformers.BertConfig(
        vocab_size=sizes.vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=12,
    )  # fmt: skip
    oracle = transformers.BertModel(config, add_pooling_layer=False).eval()
    oracle.load_state_dict(net.state_dict())
    ids = torch.tensor([[2, 4, 5, 3], [2, 9, 10, 3]])
    with torch.no_grad():
        assert_close(net(ids), oracle(ids, torch.ones_like(ids)).last_hidden_state, atol=1e-5, rtol=1e-5)


PIECES = WordPiece({word: number for number, word in enumerate(WORDS)})


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("A dog BARKS", ["a", "dog", "bark", "##s"]),
        ("barking!", ["bark", "##ing", "!"]),
        ("Une bête", ["une", "bete"]),
        ("a\u200bdog", ["[UNK]"]),
        ("a\tdog\n", ["a", "dog"]),
        ("雨rain雨", ["雨", "rain", "雨"]),
        ("cats", ["[UNK]"]),
        ("dogs$", ["dog", "##s", "[UNK]"]),
        ("a" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_words_become_their_longest_known_pieces(text, pieces):
    ids = PIECES.ids(text, 99)
    assert [WORDS[each] for each in ids] == ["[CLS]", *pieces, "[SEP]"]


def test_long_texts_are_cut_before_their_end():
    assert [WORDS[each] for each in PIECES.ids("dog " * 20, 5)] == ["[CLS]", "dog", "dog", "dog", "[SEP]"]


@pytest.mark.parametrize(
    "text",
    [
        "Ein Hündchen bellt; laut!",
        "naïve café—déjà vu",
        "中文 and English",
        "it's 3.5 km/h",
        "a\u00a0b\u3000c \ufffd",
        "ΣΑΣ",
    ],
)
def test_words_are_those_of_the_library(text):
    transformers = pytest.importorskip("transformers")
    basic = transformers.BertTokenizer({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4})
    normalised = basic.backend_tokenizer.normalizer.normalize_str(text)
    wanted = [word for word, _ in basic.backend_tokenizer.pre_tokenizer.pre_tokenize_str(normalised)]
    assert words(text) == wanted


# ---------------------------------------------------------------- files


def test_files_are_found_in_the_folder_of_models(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    part = M2dClap()
    m2d_files(tmp_path / "m2d-clap" / part.needs()[0].place.parent.name)
    (part.needs()[0].place.parent / "vocab.txt").rename(tmp_path / "m2d-clap" / "vocab.txt")
    backend = part.build()
    assert (backend.rate, backend.hop, backend.audio_width, backend.text_width) == (16000, 1.0, 768, 768)
    assert all(need.found for need in part.needs())
    assert backend.text(["a dog"])[0].shape == (1, 64)


def test_the_name_of_its_features_tells_what_sets_them_apart():
    assert (M2dClap().label, M2dClap(text="tokens").label) == ("m2d-clap", "m2d-clap+text=tokens")
    assert M2dClap(weights="x").label == "m2d-clap"


def test_weights_as_they_are_in_training_and_without_names_are_read(tmp_path, encoder):
    wave = noise(1)
    weights = m2d_weights()
    trained = {
        f"module.ar.runtime.{name}" if name.startswith("backbone") else name: t for name, t in weights.items()
    }
    bare = {name.removeprefix("backbone."): each for name, each in weights.items()}
    for number, each in enumerate((trained, bare)):
        again = load(*m2d_files(tmp_path / str(number), each), "sentence")
        assert np.array_equal(again.audio(wave), encoder.audio(wave))
    torch.save(bare, tmp_path / "bare.pth")
    assert np.array_equal(
        load(tmp_path / "bare.pth", tmp_path / "0" / "vocab.txt", "sentence").audio(wave), encoder.audio(wave)
    )


def test_numbers_of_the_picture_may_be_missing(tmp_path):
    weights = m2d_weights()
    del weights["backbone.norm_stats"]
    assert load(*m2d_files(tmp_path, weights), "sentence").audio_net.norm_stats.tolist() == pytest.approx(
        [-7.1, 4.2]
    )


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_depth_of_the_semantic_token_is_read_off_the_file(depth):
    net = vit.AudioEncoder(replace(M2D_AUDIO, semantic_depth=depth))
    assert len(fill_audio(net.state_dict(), "x").audio_proj.sem_blocks) == depth


def refusal(tmp_path, weights) -> str:
    file, vocabulary = m2d_files(tmp_path, weights)
    with pytest.raises(CheckpointError) as error:
        load(file, vocabulary, "sentence")
    return str(error.value).removeprefix(f"{file}: ")


def test_other_weights_are_refused(tmp_path):
    weights = m2d_weights()
    lacking = {name: each for name, each in weights.items() if name != "backbone.norm.bias"}
    assert refusal(tmp_path, lacking) == (
        "not the weights that this encoder reads: without 'norm.bias'. Get the published file."
    )
    assert refusal(tmp_path, weights | {"backbone.more": torch.zeros(1)}) == (
        "not the weights that this encoder reads: with 'more'. Get the published file."
    )
    assert refusal(tmp_path, weights | {"backbone.norm.bias": torch.zeros(3)}) == (
        "'norm.bias' has shape (3,), not (64,). Get the published file."
    )
    silent = {name: each for name, each in weights.items() if name.startswith("backbone")}
    assert refusal(tmp_path, silent) == (
        "holds no text encoder (text_encoder.text_encoder....). Get the file of 2025, whose name ends in TI."
    )
    deaf = {name: each for name, each in weights.items() if "sem_" not in name}
    assert refusal(tmp_path, deaf) == (
        "not the weights that this encoder reads: without 'audio_proj.sem_blocks.0.mlp.fc1.weight'. "
        "Get the published file."
    )


def test_a_vocabulary_that_is_none(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("a\nb\n")
    with pytest.raises(DataError) as error:
        WordPiece.read(path)
    assert (
        str(error.value) == f"{path}: has no token [CLS], [SEP], [UNK]. Get vocab.txt of bert-base-uncased."
    )
    path.write_text("[CLS]\n[SEP]\n[UNK]\na\n[SEP]\n")
    with pytest.raises(DataError) as error:
        WordPiece.read(path)
    assert (
        str(error.value) == f"{path}: '[SEP]' is on line 2 and on line 5. Get vocab.txt of bert-base-uncased."
    )
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as a vocabulary"):
        WordPiece.read(path)


@pytest.mark.parametrize("lines", [WORDS[:-3], [*WORDS, "Dog"]])
def test_a_vocabulary_of_another_model_than_the_weights(tmp_path, lines):
    file, vocabulary = m2d_files(tmp_path)
    vocabulary.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(DataError) as error:
        load(file, vocabulary, "sentence")
    assert str(error.value) == (
        f"{vocabulary}: has {len(lines)} tokens, but {file} has rows for {len(WORDS)}. The file is cut "
        "off or of another model. Get vocab.txt of bert-base-uncased, not that of a cased model."
    )


def test_only_line_feeds_end_a_token(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[CLS]\n[SEP]\n[UNK]\n\u2028\na\n\n", "utf-8")
    assert WordPiece.read(path).vocabulary["a"] == 4


@pytest.mark.slow
def test_the_published_sizes_are_read(tmp_path):
    net, text = vit.AudioEncoder(vit.Sizes()), bert.Bert(bert.Sizes(vocabulary=len(WORDS)))
    weights = {f"backbone.{name}": each for name, each in net.state_dict().items()}
    assert len(weights) == 166, "as many as the public notebook prints"
    weights |= {f"text_encoder.text_encoder.{name}": each for name, each in text.state_dict().items()}
    encoder = load(*m2d_files(tmp_path, weights), "sentence")
    assert encoder.audio(noise(3)).shape == (3, 768)
    assert encoder.text(["a dog"])[0].shape == (1, 768)
