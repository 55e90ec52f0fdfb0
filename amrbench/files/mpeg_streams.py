"""The streams of MPEG audio: frames in front of which stands a count, so that libsndfile need not guess."""

from __future__ import annotations

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError, joined, left_out
from amrbench.files.audio_tags import Data, tag_length
from amrbench.files.mpeg_frames import ENCODER_DELAY, MpegSection, counted_info_frame, mpeg_audio

_SPARE = bytes(4096)


def mpeg_layout(data: Data, start: int, stop: int) -> AudioLayout | None:
    """Return the MPEG audio in a part of a file; None if there is none.

    Raises:
        TruncatedAudioError: There are fewer frames than an Info frame says.
    """
    audio = mpeg_audio(data, start, stop)
    if not audio.sections:
        return None
    findings = joined(len(audio.sections)) + left_out(audio.other_bytes, "MPEG audio")
    for section in audio.sections:
        findings += _compared_with_info(section, cut=audio.cut and section is audio.sections[-1])
    if len(audio.sections) == 1 and _is_read_right(data, audio.sections[0], stop):
        return AudioLayout((AudioStream(),), tuple(findings))
    streams = tuple(_stream(data, section) for section in audio.sections)
    return AudioLayout(streams, tuple(findings))


def _compared_with_info(section: MpegSection, *, cut: bool) -> list[str]:
    """Return the finding about the number of frames, if any; some encoders count the Info frame itself."""
    count, promised = section.frames, section.info.frames if section.info else 0
    if count < promised - 1 or (cut and count < promised) or not count:
        raise TruncatedAudioError(f"the header promises {promised} MPEG frames, the file has {count}")
    if count < promised:
        return ["holds one MPEG frame less than its header counts"]
    if promised and count > promised:
        return [f"holds {count:,} MPEG frames, and its header counts {promised:,}"]
    return ["ends with an incomplete MPEG frame, so the end may be missing"] if cut else []


def _is_read_right(data: Data, section: MpegSection, stop: int) -> bool:
    """Whether libsndfile reads the file right as it is: at most one tag stands before the Info frame."""
    info = section.info
    return (
        info is not None
        and info.delay is not None
        and info.frames == section.frames
        and len(section.runs) == 1
        and section.runs[0].start == info.position.stop
        and info.position.start == tag_length(data, 0, stop)
    )


def _stream(data: Data, section: MpegSection) -> AudioStream:
    """Return the frames behind an Info frame that counts them; layers I and II have no Info frames."""
    info = section.info
    if section.kind.layer != 3:
        # With bytes to spare, the guess of libsndfile is not a few samples too low.
        return AudioStream((*section.runs, _SPARE), count=section.frames * section.kind.samples)
    if info is not None and info.delay is not None and info.frames == section.frames:
        return AudioStream((info.position, *section.runs))
    delay = ENCODER_DELAY if info is None or info.delay is None else info.delay
    first = section.runs[0].start
    counted = counted_info_frame(section.kind, data[first : first + 4], section.frames, delay)
    return AudioStream((counted, *section.runs))
