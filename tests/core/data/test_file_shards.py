from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.file_shards import FileShard, read_shard_list, write_shard_list
from amrbench.data.shards import TextShard, header_for
from amrbench.errors import DataError
from amrbench.files.feature_file import open_feature_file
from tests.small_world.data import NOISE_RATE, Loudness

PART = Loudness()
HEADER = header_for("toy", PART.build(), half=True)


def test_a_shard_has_the_rows_of_its_files(tmp_path):
    waves = {
        name: np.random.default_rng(seed).normal(size=2 * NOISE_RATE)
        for seed, name in enumerate(["a", "b/c"])
    }
    files = []
    for number, (name, wave) in enumerate(waves.items()):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * wave, NOISE_RATE)
        files.append((name, path))
    shard = FileShard(tmp_path / "shard.h5", HEADER, PART, tuple(files))
    assert shard.size == 2
    assert not shard.is_made()
    shard.make()
    assert shard.is_made()
    table = open_feature_file(shard.file).audio
    assert table.ids == ("a", "b/c")
    for name, path in files:
        rows = PART.build().audio(soundfile.read(path, dtype="float32")[0])
        np.testing.assert_array_equal(table.rows(name), rows.astype(np.float16))


def test_what_is_listed_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    audio = FileShard(Path("x") / "a.h5", HEADER, PART, (("été", Path("rec") / "été.wav"),))
    text = TextShard(Path("x") / "t.h5", HEADER, PART, ("a dog\u2028barks", "rain"))
    write_shard_list(tmp_path / "list", [audio, text])
    folder = tmp_path / "other"
    assert [line.shard(folder, HEADER, PART) for line in read_shard_list(tmp_path / "list")] == [
        FileShard(folder / "a.h5", HEADER, PART, (("été", tmp_path / "rec" / "été.wav"),)),
        TextShard(folder / "t.h5", HEADER, PART, text.sentences),
    ]


def test_a_list_that_is_missing_or_none(tmp_path):
    file = tmp_path / "list"
    with pytest.raises(DataError) as error:
        list(read_shard_list(file))
    assert str(error.value) == f"{file}: cannot be read (No such file or directory). Check the path."
    file.write_text('{"file":"a.h5"}\n{"fyle":"b.h5"}\n')
    with pytest.raises(DataError) as error:
        list(read_shard_list(file))
    assert str(error.value).startswith(f"{file}:2: is no shard of this version of amrbench (")
    assert str(error.value).endswith("). Install the same version on all machines.")
