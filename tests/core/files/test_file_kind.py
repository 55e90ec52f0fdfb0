import io
import pickle
import tarfile
import zipfile

import pytest

from amrbench.files.file_kind import HEAD, file_kind


def archive_of(kind):
    """Return a small ZIP or tar archive."""
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("a", "x")
    else:
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"))
    return content.getvalue()[:HEAD]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (archive_of("zip"), "a ZIP archive (Excel and LibreOffice files are such archives)"),
        (archive_of("tar"), "a tar archive"),
        (pickle.dumps({}), "a pickle"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a Git LFS pointer, whose content 'git lfs pull' fetches",
        ),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "metadata of macOS (a ._ file)"),
    ],
)
def test_kinds_of_files(head, kind):
    assert file_kind(head) == kind


@pytest.mark.parametrize("head", [b"", b'{"a": 1}', b"vid,query\n", "ümlaut".encode("latin-1"), b"\x80"])
def test_text_is_of_no_kind(head):
    assert file_kind(head) == ""
