"""The soups, and the single models that they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from amrbench.part import refuse_repeated
from amrbench.slots.soups import FisherData, Soup, SoupPart
from amrbench_plugins.soups.several import in_brackets, several_soups

Ingredient = Annotated[
    Literal["best", "last"],
    Field(description="epoch of each seed: the best on the selection split, or the last"),
]


class NoSoup(SoupPart):
    """Leave the fine-tuned weights of each seed as they are."""

    use = "none"

    @override
    def build(self) -> Soup:
        return lambda candidates, scorer: {}


class BestSingle(SoupPart):
    """The seed with the best score on the selection split: no soup, but a baseline for soups."""

    use = "best"

    @override
    def build(self) -> Soup:
        from amrbench_plugins.soups.single import best_single

        return best_single


class LastEpochs(SoupPart):
    """Each seed at its last epoch: a baseline for the selection of an epoch."""

    use = "last"

    @override
    def build(self) -> Soup:
        from amrbench_plugins.soups.single import last_epochs

        return last_epochs


class Uniform(SoupPart):
    """The plain mean of the weights of all seeds (Wortsman et al. 2022)."""

    use = "uniform"
    ingredient: Ingredient = "best"

    @override
    def build(self) -> Soup:
        from amrbench_plugins.soups.uniform import uniform_soup

        return partial(uniform_soup, epoch=self.ingredient)


class Greedy(SoupPart):
    """The best seed, and each further seed, best first, that improves the mean on the selection split."""

    use = "greedy"
    ingredient: Ingredient = "best"

    @override
    def build(self) -> Soup:
        from amrbench_plugins.soups.greedy import greedy_soup

        return partial(greedy_soup, epoch=self.ingredient)


class Fisher(SoupPart):
    """The mean of all seeds, each number weighted by its Fisher information (Matena and Raffel 2022).

    The information of each seed is divided by its norm, so that no seed outweighs the others as a whole.
    Numbers that no loss reaches have the plain mean.
    """

    use = "fisher"
    version = 2
    ingredient: Ingredient = "best"
    losses: tuple[str, ...] = Field(
        ("span-l1", "span-giou", "varifocal", "iou-l1"),
        min_length=1,
        description="losses of the recipe whose gradients are used",
    )
    data: FisherData = Field(
        "select",
        description="queries whose gradients are used: of the selection split, or of the training splits",
    )
    floor: float = Field(
        1e-6, ge=1e-12, le=1e6, description="least information of a number, in root mean squares of all"
    )

    @property
    @override
    def losses_read(self) -> frozenset[str]:
        return frozenset(self.losses)

    @override
    def build(self) -> Soup:
        from amrbench_plugins.soups.fisher import fisher_soup

        return partial(
            fisher_soup, epoch=self.ingredient, losses=self.losses, data=self.data, floor=self.floor
        )


class Several(SoupPart):
    """The models of several soups, one after another.

    If two of them have the same name, the options in which they differ are appended to it, e.g.
    "fisher soup (floor: 0.001)".
    """

    use = "several"
    example: ClassVar[Mapping[str, Any]] = {"of": ["best", "uniform", "greedy"]}
    of: tuple[SoupPart, ...] = Field(min_length=1, description="the soups")

    @field_validator("of")
    @classmethod
    def _differ(cls, soups: tuple[SoupPart, ...]) -> tuple[SoupPart, ...]:
        refuse_repeated([soup.use + in_brackets(soup.changed_options()) for soup in soups])
        return soups

    @property
    @override
    def losses_read(self) -> frozenset[str]:
        return frozenset[str]().union(*(soup.losses_read for soup in self.of))

    @override
    def build(self) -> Soup:
        return partial(several_soups, soups=[(part.build(), part.changed_options()) for part in self.of])
