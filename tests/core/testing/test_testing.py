"""The contract checks find what they are for: each part below has one defect."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from amrbench.errors import DataError
from amrbench.part import Part
from amrbench.registry import Registry
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.data import DatasetPart, TargetsPart
from amrbench.slots.features import FeaturesPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.soups import SoupPart, SoupResult
from amrbench.testing import check_part, make_batch, make_target, sample
from amrbench.types import Encoded, Losses, Prediction
from amrbench_plugins.dual_encoder.model import DualEncoder
from amrbench_plugins.dual_encoder.training import NoMatcher


def fails(part, *others, contracts=None):
    registry = Registry.of(part, *others)
    with pytest.raises(AssertionError) as error:
        check_part(sample(part, registry), registry, contracts=contracts)
    return str(error.value)


class Net(nn.Module):
    """Scores each recording by its mean; `defect` spoils one thing."""

    def __init__(self, defect):
        super().__init__()
        self.defect = defect
        self.linear = nn.Linear(12, 3)
        self.idle = nn.Linear(2, 2) if defect == "idle" else None

    def encode(self, batch, views=()):
        mask = batch.audio_mask[..., None]
        count = mask.shape[1] if self.defect == "padding" else mask.sum(1)
        rows = (self.linear(batch.audio) * mask).sum(1) / count
        if self.defect == "company":
            rows = rows - rows.mean(0)
        if self.defect == "recording":
            rows = rows + batch.recording[:, None]
        return Encoded(rows, {} if self.defect == "missing" else {"rows": rows})

    def decode(self, encoded):
        rows = encoded.state
        spans = torch.stack([rows.sigmoid(), rows.sigmoid()], -1)
        if self.defect == "shape":
            spans = spans[..., 0]
        if self.defect == "nan":
            rows = rows / 0
        return Prediction(spans, rows, {"extra": rows} if self.defect == "unnamed" else {})


def model_with(defect):
    class Bad(ModelPart):
        """A model."""

        use = "bad"

        @property
        def provides(self):
            return frozenset({"rows"})

        def build(self, context):
            if defect == "random":
                return Net(defect)
            with context.drawing():
                return Net(defect)

    return Bad


def test_a_sound_model_passes():
    registry = Registry.of(model_with("none"))
    check_part(sample(registry.find("model", "bad"), registry), registry)


@pytest.mark.parametrize(
    ("defect", "said"),
    [
        ("padding", "model 'bad': extra padding changes its spans or scores by more than 1e-05."),
        ("company", "model 'bad': who else is in the batch changes its spans or scores by more than 1e-05."),
        ("recording", "model 'bad': which queries share a recording changes its spans or scores by more"),
        ("idle", "model 'bad': no gradient reaches idle.weight, idle.bias."),
        ("missing", "model 'bad': it says that it provides rows, and does not."),
        ("unnamed", "model 'bad': it provides extra without saying so in `provides`."),
        ("shape", "model 'bad': spans (4, 3) and scores (4, 3) of 4 queries are not (B, Q, 2) and (B, Q)."),
        ("nan", "model 'bad': spans or scores are not finite for (4, 14, 12) rows of audio."),
        ("random", "model 'bad': build draws from the global random state; use context.drawing()."),
    ],
)
def test_a_defect_of_a_model_is_found(defect, said):
    assert fails(model_with(defect)).startswith(said)


def loss_with(result):
    class Bad(LossPart):
        """A loss."""

        use = "bad"
        requires = frozenset({"similarity"})

        def build(self, context):
            return Applied(result, self.weight)

    return Bad


class Applied(nn.Module):
    def __init__(self, result, weight):
        super().__init__()
        self.result, self.weight = result, weight

    def forward(self, outcome):
        return self.result(outcome.tensors["similarity"], self.weight)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda x, w: {}, "loss 'bad': it returns no term."),
        (
            lambda x, w: {"two words": x.mean()},
            "loss 'bad': the term 'two words' needs a name of small letters",
        ),
        (lambda x, w: {"a": w * x}, "loss 'bad': the term 'a' has shape (4, 14), not () or (N,)."),
        (lambda x, w: {"a": w * x.mean() / 0}, "loss 'bad': the term 'a' is not finite: "),
        (lambda x, w: {"a": x.mean()}, "loss 'bad': doubling `weight` doubles no term."),
        (
            lambda x, w: {"a": w * x.mean(), "b": w**2 * x.mean()},
            "loss 'bad': doubling `weight` neither doubles nor keeps b.",
        ),
        (lambda x, w: {"a": w * x.detach().mean()}, "loss 'bad': its terms carry no gradient."),
        (lambda x, w: {"a": w * (0 * x).mean()}, "loss 'bad': all its gradients are zero."),
    ],
)
def test_a_defect_of_a_loss_is_found(result, said):
    assert fails(loss_with(result), DualEncoder, NoMatcher).startswith(said)


def test_a_loss_that_nobody_can_feed_says_how_to_go_on():
    assert fails(loss_with(None), NoMatcher) == (
        "loss 'bad': it requires similarity, which no model here provides; pass one that does: "
        "check_part(part, registry, models=[...])."
    )


def matcher_with(match):
    class Bad(MatcherPart):
        """A matcher."""

        use = "bad"

        def build(self):
            return match

    return Bad


@pytest.mark.parametrize(
    ("match", "said"),
    [
        (
            lambda tensors, target: target.spans,
            "matcher 'bad': it returns torch.float32 of (4, 2, 2), not integers",
        ),
        (
            lambda tensors, target: torch.zeros(1, *target.spans_mask.shape, dtype=torch.long),
            "matcher 'bad': it matches spans that are padding; give -1 there.",
        ),
        (
            lambda tensors, target: torch.where(target.spans_mask, 0, -1)[None],
            "matcher 'bad': it gives one query to two spans.",
        ),
        (
            lambda tensors, target: torch.where(target.spans_mask, 99, -1)[None],
            "matcher 'bad': a query that it names is not one of 0 to 9.",
        ),
    ],
)
def test_a_defect_of_a_matcher_is_found(match, said):
    assert fails(matcher_with(match), DualEncoder).startswith(said)


class Uphill(OptimizerPart):
    """An optimizer that climbs."""

    use = "bad"
    rate: float = Field(0.01, description="step")
    restores: bool = Field(True, description="whether weights come back")
    first: bool = Field(True, description="whether the losses are those of the first call")
    frozen: bool = Field(False, description="whether frozen weights move")
    example: ClassVar = {}

    def build(self, module, plan):
        return UphillUpdater(self, module)


class UphillUpdater:
    def __init__(self, options, module):
        self.options, self.module = options, module

    def step(self, closure):
        self.module.zero_grad()
        losses = closure()
        losses.total.backward()
        with torch.no_grad():
            self.module.moved += self.options.rate * self.module.moved.grad
            if self.options.frozen:
                self.module.frozen += 1
        return losses if self.options.first else Losses(losses.total + 1, {})

    def end_epoch(self): ...

    def eval_weights(self):
        if not self.options.restores:
            with torch.no_grad():
                self.module.moved += 1
        return torch.no_grad()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "optimizer 'bad': the weights that it would score are no better."),
        (
            {"rate": -0.01, "restores": False},
            "optimizer 'bad': after eval_weights the weights are not what they were.",
        ),
        (
            {"rate": -0.01, "first": False},
            "optimizer 'bad': step 0 does not return the losses of its first call.",
        ),
        ({"rate": -0.01, "frozen": True}, "optimizer 'bad': it moves a weight that is frozen."),
    ],
)
def test_a_defect_of_an_optimizer_is_found(options, said):
    with pytest.raises(AssertionError) as error:
        check_part(Uphill(**options), Registry.of(Uphill))
    assert str(error.value) == said


def part_of(slot, made):
    class Bad(slot):
        """A part."""

        use = "bad"

        def build(self, *given):
            return made

    return Bad


class Noise:
    name, audio_width, text_width, rate, hop = "noise", 4, 4, 10, 1.0

    def __init__(self, **wrong):
        self.wrong = wrong
        self.asked = 0

    def audio(self, waveform):
        self.asked += 1
        rows = np.zeros((len(waveform) // 10 + self.wrong.get("rows", 0), 4), np.float32)
        return rows + self.asked * self.wrong.get("memory", 0)

    def text(self, sentences):
        shift = len(sentences) * self.wrong.get("company", 0)
        return [np.zeros((1, 4), self.wrong.get("dtype", np.float32)) + shift for _ in sentences]

    def fingerprint(self):
        return self.wrong.get("print", "f")


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (
            Noise(rows=1),
            "features 'bad': 1 hops of audio give (2, 4), not (1, 4) (floor of seconds / hop rows).",
        ),
        (Noise(memory=1), "features 'bad': the same audio gives other rows."),
        (Noise(company=1), "features 'bad': the tokens of 'a dog barks' depend on the other sentences."),
        (Noise(dtype=np.float64), "features 'bad': tokens of 'a dog barks' are float64, not float32."),
        (Noise(print=""), "features 'bad': its fingerprint is empty or changes from build to build."),
    ],
)
def test_a_defect_of_an_encoder_is_found(backend, said):
    assert fails(part_of(FeaturesPart, backend)) == said


def test_a_sound_encoder_passes_and_so_does_one_whose_files_are_missing():
    sound = part_of(FeaturesPart, Noise())
    check_part(sound(), Registry.of(sound))

    class Absent(FeaturesPart):
        """An encoder."""

        use = "absent"

        def build(self):
            return Lost()

        def needs(self):
            return [LOST]

    check_part(Absent(), Registry.of(Absent))


LOST = RequiredFile("weights", Path("absent.pt"), False, Published("somewhere"), "Get it.")


class Lost(Noise):
    def fingerprint(self):
        raise DataError(LOST.text())


def test_an_encoder_that_hides_what_it_misses_is_found():
    said = fails(part_of(FeaturesPart, Lost()))
    assert said == "features 'bad': it cannot be used, but needs() finds nothing missing."


@pytest.mark.parametrize(
    ("slot", "made", "said"),
    [
        (
            SchedulePart,
            lambda step: 2.0,
            "schedule 'bad': in 1 epochs of 1 steps a factor is [2.0], not in [0, 1].",
        ),
        (SchedulePart, lambda step: 0.0, "schedule 'bad': 1 epochs of 1 steps never learn."),
        (RankingPart, lambda moments, query: moments[::-1], "ranking 'bad': its list is not best first."),
        (
            RankingPart,
            lambda moments, query: moments[:0],
            "ranking 'bad': it leaves nothing of four moments.",
        ),
        (RankingPart, lambda moments, query: moments[:, :2], "ranking 'bad': it returns (4, 2), not (Q, 3)."),
        (
            SoupPart,
            lambda candidates, judge: {
                "soup": SoupResult({"weight": candidates[0].best()["weight"]}, ["seed 0"])
            },
            "soup 'bad', member 'soup': it has ['weight'], not ['count', 'weight'].",
        ),
        (
            SoupPart,
            lambda candidates, judge: candidates[0].best()["weight"].mul_(2) is None or {},
            "soup 'bad': it writes into the candidates.",
        ),
    ],
)
def test_other_defects_are_found(slot, made, said):
    assert fails(part_of(slot, made)) == said


def test_a_data_set_that_depends_on_what_was_asked_is_found():
    class Clip:
        vid, rate, queries = "v", 10, ()

        def __init__(self, value):
            self.waveform = np.full(10, value, np.float32)

    class Forgetful:
        def __init__(self):
            self.asked = 0

        def splits(self):
            return ["train"]

        def size(self, split):
            return 2

        def recording(self, split, index):
            self.asked += 1
            return Clip(self.asked / 10)

        def fingerprint(self):
            return "f"

    class Bad(DatasetPart):
        """A data set."""

        use = "bad"

        def build(self):
            return Forgetful()

    assert fails(Bad) == "dataset 'bad': a recording depends on which were asked for before."


def test_labels_outside_the_recording_are_found():
    class Wrong:
        spans = np.array([[0.5, 2.0]], np.float32)

    assert fails(part_of(TargetsPart, lambda *given: Wrong())) == (
        "targets 'bad', windows [(3.0, 8.0)]: a span leaves [0, 1]: [[0.5, 2.0]]."
    )


class WinePart(Part):
    slot = "wine"


class Merlot(WinePart):
    """A wine without a stop"""

    use = "merlot"


class Riesling(WinePart):
    """A wine."""

    use = "riesling"
    sweetness: int = 3


class Port(WinePart):
    """A wine."""

    use = "port"
    years: int = Field(description="how old")


def test_what_is_asked_of_every_part_is_found():
    assert (
        fails(Merlot)
        == "wine 'merlot': the first line of its docstring is no sentence: 'A wine without a stop'."
    )
    assert (
        fails(Riesling)
        == "wine 'riesling': the option 'sweetness' has no description; give Field(description=...)."
    )


def test_a_part_with_required_options_says_how_to_try_it():
    assert fails(Port) == (
        "wine 'port' cannot be tried: years: this field is missing. Let it declare `example`, options to try."
    )


def test_a_slot_without_a_contract_is_found():
    class Sherry(WinePart):
        """A wine."""

        use = "sherry"

    assert fails(Sherry).startswith(
        "the slot 'wine' has no contract; pass contracts={'wine': ...}. Known: augment,"
    )
    tasted = []
    check_part(Sherry(), Registry.of(Sherry), contracts={"wine": lambda part, bench: tasted.append(part)})
    assert tasted == [Sherry()]


def test_made_up_targets_fit_their_batch():
    batch = make_batch()
    target = make_target(batch)
    assert not target.relevant[~batch.audio_mask].any()
    assert target.relevant.gather(1, target.positives).all()
    assert not target.relevant.gather(1, target.negatives).any()
    assert batch.audio_mask.gather(1, target.negatives).all()
    for row in range(len(batch.audio)):
        count = int(batch.audio_mask[row].sum())
        centres = [(frame + 0.5) / count for frame in range(count)]
        spans = target.spans[row][target.spans_mask[row]].tolist()
        wanted = [any(abs(at - centre) < width / 2 for centre, width in spans) for at in centres]
        assert target.relevant[row, :count].tolist() == wanted
