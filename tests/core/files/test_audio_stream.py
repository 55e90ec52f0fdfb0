from amrbench.files.audio_stream import joined, left_out


def test_findings_say_what_is_unusual_and_nothing_else():
    assert joined(1) == []
    assert joined(2) == ["holds 2 recordings one after another"]
    assert left_out(0, "MPEG audio") == []
    assert left_out(1234, "Ogg pages") == ["holds 1,234 bytes that are no Ogg pages, which are left out"]
