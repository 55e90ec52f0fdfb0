import pytest

from amrbench.files.audio_tags import before_tags, skip_tags, tag_length

AUDIO = b"audio that ends here"
ID3V2 = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 2]) + bytes(130)
WITH_FOOTER = b"ID3\x04\x00\x10" + bytes([0, 0, 0, 5]) + bytes(5) + b"3DI\x04\x00\x10" + bytes([0, 0, 0, 5])
ID3V1 = b"TAG".ljust(128, b" ")


def ape(*, head: bool, own: int = 0) -> bytes:
    """Return an APE tag with its footer, and a header if asked for."""

    def mark(is_head: bool) -> bytes:
        flags = (1 << 31 if head else 0) | (1 << 29 if is_head else 0)
        return b"APETAGEX" + b"".join(n.to_bytes(4, "little") for n in (2000, own + 32, 1, flags)) + bytes(8)

    return (mark(True) if head else b"") + bytes(own) + mark(False)


@pytest.mark.parametrize("tag", [ID3V2, WITH_FOOTER, ID3V1, ape(head=True), ape(head=True, own=77)])
def test_a_tag_before_the_audio_is_skipped(tag):
    content = tag + AUDIO
    assert tag_length(content, 0, len(content)) == len(tag)
    assert skip_tags(tag + content, 0, len(tag + content)) == 2 * len(tag)
    assert skip_tags(AUDIO, 0, len(AUDIO)) == 0


@pytest.mark.parametrize(
    "tag", [WITH_FOOTER, ID3V1, ape(head=False), ape(head=False, own=77), ape(head=True, own=77)]
)
def test_tags_after_the_audio_are_no_audio(tag):
    content = AUDIO + tag
    assert before_tags(content, 0, len(content)) == len(AUDIO)
    assert before_tags(content + ID3V1, 0, len(content) + 128) == len(AUDIO)
    assert before_tags(AUDIO, 0, len(AUDIO)) == len(AUDIO)


def test_a_tag_longer_than_the_file_ends_with_it():
    content = b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f and more"
    assert skip_tags(content, 0, len(content)) == len(content)
    content = AUDIO + ape(head=False)[:-20] + b"\xff" * 20
    assert before_tags(content, 0, len(content)) == len(content)


@pytest.mark.parametrize("content", [b"", b"ID3", b"TAG", b"APETAGEX"])
def test_the_beginning_of_a_tag_is_none(content):
    assert skip_tags(content, 0, len(content)) == 0
    assert before_tags(content, 0, len(content)) == len(content)
