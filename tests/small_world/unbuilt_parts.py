"""A part without code for each slot of a recipe, for checks of options, and a recipe and a protocol."""

from typing import ClassVar

from pydantic import Field, model_validator

from amrbench.part import budgeted, problem
from amrbench.registry import Registry
from amrbench.slots.data import AugmentPart, DatasetPart, TargetsPart
from amrbench.slots.features import FeaturesPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import ReadoutPart
from amrbench.slots.soups import SoupPart


class Ears(FeaturesPart):
    """An encoder."""

    use = "ears"

    def build(self): ...


class ToyEars(FeaturesPart):
    """Its stand-in."""

    use = "toy-ears"

    def build(self): ...


class Tones(DatasetPart):
    """A data set."""

    use = "tones"
    size: int = 3

    def build(self): ...


class Net(ModelPart):
    """A model."""

    use = "net"
    views: ClassVar[frozenset[str]] = frozenset({"other"})
    width: int = budgeted(8, "width", ge=1)
    heads: int = Field(2, description="must divide the width")
    layers: int = budgeted(1, "layers", ge=1)

    @property
    def provides(self):
        return {"spans": "N B Q 2", "scores": "N B Q"}

    @model_validator(mode="after")
    def _fits(self):
        if self.width % self.heads:
            raise problem(f"heads is {self.heads}, which does not divide width {self.width}.")
        return self

    def build(self, context): ...


class Plain(TargetsPart):
    """Targets."""

    use = "plain"

    def build(self): ...


class Shift(AugmentPart):
    """A change."""

    use = "shift"

    def build(self, recordings): ...


class Pairs(MatcherPart):
    """A matcher."""

    use = "pairs"
    requires = frozenset({"spans"})

    def build(self): ...


class Picky(MatcherPart):
    """A matcher that requires a tensor that no part provides."""

    use = "picky"
    requires = frozenset({"quality"})

    def build(self): ...


class Distance(LossPart):
    """A loss with parameters as wide as the model."""

    use = "distance"
    requires = frozenset({"spans"})
    width: int = budgeted(8, "width", ge=1)

    def build(self, context): ...


class Greedy(LossPart):
    """A loss that requires tensors that no part provides."""

    use = "greedy"
    requires = frozenset({"spans", "quality", "colour"})

    def build(self, context): ...


class Contrast(LossPart):
    """A loss that needs another view."""

    use = "contrast"
    views: ClassVar = {"other": frozenset({"scores"})}

    def build(self, context): ...


class FarContrast(LossPart):
    """A loss that needs a view that the model does not have."""

    use = "far-contrast"
    views: ClassVar = {"far": frozenset({"scores"})}

    def build(self, context): ...


class BlindContrast(LossPart):
    """A loss that requires a tensor of a view that no part provides."""

    use = "blind-contrast"
    views: ClassVar = {"other": frozenset({"colour"})}

    def build(self, context): ...


class Flat(SchedulePart):
    """A schedule."""

    use = "flat"
    warmup: float = budgeted(0.0, "warmup", ge=0, le=1)

    def build(self, plan): ...


class Descent(OptimizerPart):
    """An optimizer."""

    use = "descent"
    lr: float = budgeted(0.1, "lr", gt=0, le=10)
    schedule: SchedulePart = Flat()

    def build(self, module, plan): ...


class Bare(OptimizerPart):
    """An optimizer without a learning rate and a schedule."""

    use = "bare"

    def build(self, module, plan): ...


class Mean(OptimizerPart):
    """An optimizer around another."""

    use = "mean"
    around: OptimizerPart

    def build(self, module, plan): ...


class NoSoup(SoupPart):
    """No soup."""

    use = "none"

    def build(self): ...


class Weighed(SoupPart):
    """A soup that reads losses."""

    use = "weighed"

    @property
    def losses_read(self):
        return frozenset({"distance", "quality"})

    def build(self): ...


class Widest(ReadoutPart):
    """A read-out."""

    use = "widest"
    requires = frozenset({"spans"})
    evidence: ClassVar = {"seen": "", "colour": "colour"}

    def build(self, fitted): ...


class Narrowest(ReadoutPart):
    """A read-out without evidence."""

    use = "narrowest"

    def build(self, fitted): ...


class Joined(ReadoutPart):
    """A read-out that joins others."""

    use = "joined"
    of: tuple[ReadoutPart, ...]

    @property
    def readouts(self):
        return self.of

    def build(self, fitted): ...


class Surest(ReadoutPart):
    """A read-out that requires a tensor that no part provides."""

    use = "surest"
    requires = frozenset({"quality"})

    def build(self, fitted): ...


class Cut(RankingPart):
    """A ranking step."""

    use = "cut"

    def build(self, fitted): ...


class Tested(RankingPart):
    """A ranking step that reads evidence."""

    use = "tested"
    requires = frozenset({"seen"})

    def build(self, fitted): ...


class Painted(RankingPart):
    """A ranking step that reads evidence that needs a tensor that no part provides."""

    use = "painted"
    requires = frozenset({"colour", "saliency.inside"})

    def build(self, fitted): ...


REGISTRY = Registry.of(
    *(Ears, ToyEars, Tones, Net, Plain, Shift, Pairs, Picky, Distance, Greedy, Contrast, FarContrast),
    *(
        BlindContrast,
        Flat,
        Descent,
        Bare,
        Mean,
        NoSoup,
        Weighed,
        Widest,
        Narrowest,
        Joined,
        Surest,
        Cut,
        Tested,
        Painted,
    ),
)

RECIPE = """\
name: toy
features: ears
model: {use: net, width: 8}
training:
  targets: plain
  matcher: pairs
  losses:
    - {use: distance, weight: 2}
    - contrast
  optimizer: {use: mean, around: {use: descent, lr: 0.5}}
  readouts: [widest]
stages:
  - {name: first, data: pretrain, epochs: 20}
  - {name: last, data: target, epochs: 5, seeds: many}
soup: none
readout: widest
ranking: [cut]
"""

PROTOCOL = """\
name: quick
data:
  pretrain: tones
  midtrain: tones
  target: {use: tones, size: 9}
stand_ins: {ears: toy-ears}
budget: {epochs: {pretrain: 3, target: 7}, width: 4}
seeds: 2
splits: {train: [train], select: val, report: test}
against: [cgdetr]
"""
