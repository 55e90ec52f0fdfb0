import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.files.file_view import FileView

CONTENT = bytes(range(256)) * 4
RANGES = st.tuples(st.integers(0, 1024), st.integers(0, 1024)).map(lambda ends: range(*sorted(ends)))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("view") / "a"
    file.write_bytes(CONTENT)
    return file


@given(pieces=st.lists(RANGES | st.binary(max_size=40), max_size=5), data=st.data())
def test_pieces_are_read_as_one_file(path, pieces, data):
    plain = io.BytesIO(b"".join(p if isinstance(p, bytes) else CONTENT[p.start : p.stop] for p in pieces))
    with FileView(path, pieces) as view:
        assert view.seek(0, io.SEEK_END) == plain.seek(0, io.SEEK_END)
        for _ in range(4):
            start, size = data.draw(st.integers(0, 600)), data.draw(st.integers(0, 900))
            assert view.seek(start) == plain.seek(start) == view.tell()
            assert view.read(size) == plain.read(size)
            assert view.read() == plain.read()


def test_positions_may_be_relative_and_never_negative(path):
    with FileView(path, [b"head", range(10, 20)]) as view:
        assert (view.seekable(), view.readable()) == (True, True)
        view.seek(6)
        assert view.seek(-4, io.SEEK_CUR) == 2
        assert view.seek(-100, io.SEEK_END) == 0


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileView(tmp_path / "none", [range(3)])
