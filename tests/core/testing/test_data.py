from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amrbench.data.collate import collate_targets
from amrbench.errors import DataError
from amrbench.registry import Registry
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.data import AugmentPart, DatasetPart, TargetsPart
from amrbench.slots.features import FeaturesPart
from amrbench.testing import check_part
from tests.core.testing.defects import failure, part_of


class Zeros:
    name, audio_width, text_width, rate, hop = "zeros", 4, 4, 10, 1.0

    def __init__(self, **defects):
        self.defects = defects
        self.calls = 0

    def audio(self, waveform):
        self.calls += 1
        waveform += self.defects.get("written", 0)
        if "nothing" in self.defects:
            return None
        rows = np.zeros((len(waveform) // 10 + self.defects.get("rows", 0), 4), np.float32)
        return rows + self.calls * self.defects.get("memory", 0)

    def text(self, sentences):
        shift = len(sentences) * self.defects.get("company", 0)
        return [np.zeros((1, 4), self.defects.get("dtype", np.float32)) + shift for _ in sentences]

    def too_long(self, sentences):
        return []

    def fingerprint(self):
        return self.defects.get("fingerprint", "f")


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        (
            Zeros(rows=1),
            "features 'bad': 1 hops of audio give (2, 4), not (1, 4) (floor of seconds / hop rows).",
        ),
        (
            Zeros(memory=1),
            "features 'bad': the same audio gives other rows. Keep no state, and draw nothing.",
        ),
        (Zeros(written=1), "features 'bad': it writes into the waveform. Change a copy."),
        (Zeros(nothing=1), "features 'bad': audio is None, not an array."),
        (Zeros(company=1), "features 'bad': the tokens of 'a dog barks' depend on the other sentences."),
        (Zeros(dtype=np.float64), "features 'bad': tokens of 'a dog barks' are float64, not float32."),
        (Zeros(fingerprint=""), "features 'bad': its fingerprint is empty or changes from build to build."),
    ],
)
def test_a_defect_of_an_encoder_is_found(backend, text):
    assert failure(part_of(FeaturesPart, backend)) == text


MISSING = RequiredFile("weights", Path("absent.pt"), False, Published("somewhere"), "Get it.")


class WithoutWeights(Zeros):
    def __init__(self, message):
        super().__init__()
        self.message = message

    def fingerprint(self):
        raise DataError(self.message)


def encoder_that_says(message):
    class Absent(FeaturesPart):
        """An encoder."""

        use = "absent"

        def build(self):
            return WithoutWeights(message)

        def required_files(self):
            return [MISSING]

    return Absent


def test_a_sound_encoder_passes_and_so_does_one_whose_files_are_missing():
    for part in (part_of(FeaturesPart, Zeros()), encoder_that_says(MISSING.text())):
        check_part(part(), Registry.of(part))


def test_an_encoder_that_does_not_list_its_missing_files_is_found():
    assert failure(part_of(FeaturesPart, WithoutWeights(MISSING.text()))) == (
        "features 'bad': it cannot be used, but required_files() names no missing file."
    )


def test_an_encoder_whose_message_does_not_name_the_missing_file_is_found():
    assert failure(encoder_that_says("no weights")) == (
        "features 'absent': its message does not name the path of its weights."
    )


def test_a_data_set_whose_recordings_depend_on_earlier_reads_is_found():
    class Clip:
        vid, rate, queries = "v", 10, ()

        def __init__(self, value):
            self.waveform = np.full(10, value, np.float32)

    class Counting:
        def __init__(self):
            self.calls = 0

        def splits(self):
            return ["train"]

        def size(self, split):
            return 2

        def recording(self, split, index):
            self.calls += 1
            return Clip(self.calls / 10)

        def fingerprint(self):
            return "f"

    class Bad(DatasetPart):
        """A data set."""

        use = "bad"

        def build(self):
            return Counting()

    assert failure(Bad) == "dataset 'bad': a recording depends on which were read before."


def test_labels_outside_the_recording_are_found():
    class Wrong:
        spans = np.array([[0.5, 2.0]], np.float32)

        relevant, positives, negatives = (), (), ()

    text = failure(part_of(TargetsPart, lambda query, frames, hop, rng: Wrong()))
    assert text.startswith("targets 'bad', windows [(18.0, 20.0), ")
    assert text.endswith("a span leaves [0, 1]: [[0.5, 2.0]].")


class Labelled:
    def __init__(self, shift=0.0):
        self.spans = np.array([[0.5, 0.1 + shift]], np.float32)
        self.relevant = np.zeros(20, np.bool_)
        self.positives = self.negatives = np.zeros(2, np.int64)


class Counted:
    calls = 0

    def __call__(self, query, frames, hop, rng):
        self.calls += 1
        return Labelled(self.calls / 100)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (
            Counted(),
            "targets 'bad': the same random generator gives other labels (spans). Keep no state.",
        ),
        (
            lambda query, frames, hop, rng: None,
            "targets 'bad': it returns None without spans, relevant, positives, negatives.",
        ),
    ],
)
def test_a_defect_of_targets_is_found(label, text):
    assert failure(part_of(TargetsPart, label)) == text


class Batched:
    """Its method for a batch differs from its calls, or draws one more number."""

    def __init__(self, shift, drawn):
        self.shift, self.drawn = shift, drawn

    def __call__(self, query, frames, hop, rng):
        labels = Labelled()
        labels.relevant = np.zeros(frames, np.bool_)
        return labels

    def of_batch(self, queries, frames, hop, rngs):
        calls = [self(query, count, hop, None) for query, count in zip(queries, frames, strict=True)]
        target = collate_targets(calls, max(frames))
        rngs[0].random(self.drawn)
        return replace(target, spans=target.spans + self.shift)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (Batched(0.1, 0), "targets 'bad': its of_batch gives other spans than one call for each query."),
        (
            Batched(0, 1),
            "targets 'bad': its of_batch draws other random numbers than one call for each query.",
        ),
    ],
)
def test_a_method_for_a_batch_that_differs_is_found(label, text):
    assert failure(part_of(TargetsPart, label)) == text
    same = part_of(TargetsPart, Batched(0, 0))
    check_part(same(), Registry.of(same))


def moved(rows, query, hop, rng):
    rows += 1
    return rows, query


class Spoils(AugmentPart):
    """Writes into a recording."""

    use = "bad"

    def build(self, recordings):
        def change(rows, query, hop, rng):
            recordings.audio_rows(8)[0] = 0
            return rows, query

        return change


def test_an_augmentation_that_writes_into_another_recording_is_found():
    assert failure(Spoils) == "augment 'bad': it writes into other recordings. Copy their rows."


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda rows, query, hop, rng: None, "augment 'bad': it returns None, not rows and a query."),
        (
            lambda rows, query, hop, rng: rows,
            "augment 'bad': it returns ndarray of shape (20, 6), not rows and a query.",
        ),
        (moved, "augment 'bad': it writes into the rows that it is given. Copy them."),
        (
            lambda rows, query, hop, rng: (rows + np.float32(np.random.default_rng().random()), query),
            "augment 'bad': the same random generator gives other rows. Draw from it alone.",
        ),
    ],
)
def test_a_defect_of_an_augmentation_is_found(change, text):
    assert failure(part_of(AugmentPart, change)) == text
