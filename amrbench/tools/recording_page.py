"""`amrbench predict --html`: a page to see and hear the moments in a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.data.audio import AudioFile
from amrbench.experiment.finished_run import FinishedRun
from amrbench.pages.page import Page, Section, joined, paragraph
from amrbench.pages.recording_media import sound, spectrogram
from amrbench.pages.timeline import (
    BLOCK,
    SCRIPT,
    STYLE,
    Media,
    Timeline,
    TimelineSystem,
    timeline_element,
    timelines_as_json,
)
from amrbench.tools.predict_audio import Answers, system_names

LONGEST_SOUND = 1800.0
"""Seconds of the longest recording whose sound a page holds; half an hour takes about 20 MB."""


def recording_page(results: Sequence[Answers], top: int) -> Page:
    """Return a page with a timeline for each query.

    Args:
        results: Of one or more models, for the same recording and queries.
        top: Moments of each query and model.
    """
    recording = results[0].recording
    timelines = recording_timelines(results, top, audio=page_sound(recording), picture=True)
    sections = [
        Section("Sentences", joined([timeline_element(index) for index in range(len(timelines))])),
        Section("How to read it", joined([paragraph(text) for text in READING])),
    ]
    return Page(
        title=f"Moments in {recording.path.name}",
        heading=page_heading(results),
        sections=sections,
        styles=[STYLE],
        scripts=[SCRIPT],
        data={BLOCK: timelines_as_json(timelines)},
    )


def recording_timelines(
    results: Sequence[Answers], top: int, *, audio: Media | None = None, picture: bool = False
) -> list[Timeline]:
    """Return a timeline for each query.

    Args:
        results: Of one or more models, for the same recording and queries.
        top: Moments of each query and model.
        audio: The sound of the recording.
        picture: Whether they have a spectrogram.
    """
    recording, names = results[0].recording, system_names(results)
    image = spectrogram(recording) if picture else None
    return [
        Timeline(
            vid=recording.path.name,
            query=query,
            seconds=recording.seconds,
            truth=None,
            systems=[
                TimelineSystem(
                    name,
                    [(start, end, score) for start, end, score in answer.moments[:top].tolist()],
                    None if answer.saliency is None else answer.saliency.tolist(),
                    result.hop,
                    answer.remark(),
                )
                for name, result in zip(names, results, strict=True)
                for answer in (result.answers[index],)
            ],
            audio=audio,
            spectrogram=image,
        )
        for index, query in enumerate(answer.query for answer in results[0].answers)
    ]


def page_sound(recording: AudioFile) -> Media | None:
    """Return the sound of a recording that is not too long for a page."""
    return sound(recording) if recording.seconds <= LONGEST_SOUND else None


def page_heading(results: Sequence[Answers]) -> list[str]:
    """Return sentences about recording, models, protocols, stand-ins and the sounds that these know."""
    recording = results[0].recording
    lines = [line for result in results for line in result.heading()[:1]]
    lines += models_heading([result.finished for result in results])
    if recording.seconds > LONGEST_SOUND:
        lines.append(
            f"The recording is longer than {LONGEST_SOUND / 60:g} minutes, so the page is without its sound. "
            "'amrbench predict --clips' writes the moments as audio."
        )
    return list(dict.fromkeys(lines))


def models_heading(models: Sequence[FinishedRun]) -> list[str]:
    """Return sentences about models, protocols, stand-ins and the sounds that these know."""
    lines = [line for model in models for line in model.heading()]
    known = {encoder: names for model in models for encoder, names in model.known_sounds().items()}
    return [*dict.fromkeys(lines), *sounds_text(known)]


def sounds_text(known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for the encoders that know the same list of sounds and nothing else."""
    encoders: dict[tuple[str, ...], list[str]] = {}
    for name, sounds in known.items():
        encoders.setdefault(tuple(sounds), []).append(name)
    return [
        f"Sounds known to {' and '.join(names)}, and no others: {', '.join(sounds)}."
        for sounds, names in encoders.items()
    ]


READING = (
    "Click a moment to hear it. The bars are the moments of each model, the best at the top; the line above "
    "them is the saliency, how well each second fits the sentence, to the same scale for all sentences.",
    "A score orders the moments of one model. It is no probability, and scores of two models cannot be "
    "compared.",
    "A model gives moments to every sentence. To know an empty answer, it was asked about sentences of its "
    "test data in the same recording as well; a remark says where the sentence gets no more than these.",
)
