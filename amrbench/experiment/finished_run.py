"""A finished run as a model that can predict: its recipe, the weights of one of its models, and its encoders.

Everything is read from the run's folder and the stages in the cache; no data set is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from amrbench.config.recipe import Recipe
from amrbench.errors import RecipeError, RunError, some
from amrbench.evaluation.result import RESULT, Result, Row, finished_runs, read_result
from amrbench.files.checksums import changed_files
from amrbench.files.folders import OTHER_CACHE, RUNS, cache_folder
from amrbench.files.weights import load_weights, read_weights
from amrbench.registry import Registry
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.reading import Reading, build_reading
from amrbench.training.stage_store import weights_file
from amrbench.training.store_layout import store_of
from amrbench.types import BuildContext, FeatureWidths

_KINDS = ("soup", "single", "seed")
"""Models that predict; the first kind that a run has is its default."""
_ANY_WIDTHS = (0.1, 0.2, 0.3)
"""Building a model may need widths of training windows; its weights are replaced by those of the run."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, and the model of it that predicts.

    Attributes:
        folder: Of the run.
        result: All that it says about itself.
        member: The row of the model.
        recipe: The recipe with stand-ins and budget in place.
        cache: The cache folder, with the stages.
    """

    folder: Path
    result: Result
    member: Row
    recipe: Recipe
    cache: Path

    @property
    def weights(self) -> Path:
        """Return the file of the model's weights."""
        if self.member.kind != "seed":
            return self.folder / f"{slug(self.member.member)}.safetensors"
        stage = store_of(self.cache) / self.result.models[self.member.member]
        return stage / weights_file(self.recipe.selected_by)

    def files(self) -> list[Path]:
        """Return all that is in the folder of the run, and in that of the stage whose weights are read."""
        return [path for folder in {self.folder, self.weights.parent} for path in folder.rglob("*")]

    @cached_property
    def backends(self) -> list[tuple[FeaturesPart, FeatureBackend]]:
        """Return the encoders, usually one; their files are not read yet."""
        return [(part, part.build()) for part in self.recipe.features.encoders]

    @cached_property
    def criterion(self) -> Criterion:
        """Return model and losses with the weights of `member`.

        Raises:
            RunError: The file of the weights is missing or has changed.
            CheckpointError: It is damaged.
        """
        if not self.weights.is_file():
            raise RunError(
                f"{self.weights}: the weights of {self.member.member!r} are not there. Run the recipe again, "
                f"which trains what is missing, or {OTHER_CACHE}: that of the run."
            )
        if faults := changed_files(self.weights.parent):
            raise RunError(
                f"{self.weights.parent}: {faults[0]} since it was written. Run the recipe again; it sets the "
                "folder aside and makes what it held again."
            )
        context = BuildContext(
            features=FeatureWidths(
                sum(backend.audio_width for _, backend in self.backends),
                sum(backend.text_width for _, backend in self.backends),
            ),
            seed=0,
            input_dropout=self.recipe.stages[-1].input_dropout,
            window_widths=_ANY_WIDTHS,
        )
        criterion = build_criterion(self.recipe, context)
        load_weights(criterion, read_weights(self.weights), name=str(self.weights))
        return criterion.eval()

    @cached_property
    def reading(self) -> Reading:
        """Return the read-out and the ranking steps, with what was fitted in the run."""
        return build_reading(self.recipe, self.member.fitted)

    def about(self) -> dict[str, str]:
        """Return what goes with every prediction, so that no stand-in is taken for the real encoder."""
        return {
            "run": str(self.folder),
            "recipe": self.result.recipe.name,
            "member": self.member.member,
            "protocol": self.result.protocol.name,
            "protocol_about": self.result.protocol.about,
            "stand_ins": self.result.stand_ins,
        }

    def heading(self) -> list[str]:
        """Return the same as lines for people."""
        about = self.about()
        lines = [
            f"{about['recipe']}, {about['member']}, of {about['run']}",
            f"Protocol {self.result.protocol.title()}",
        ]
        if about["stand_ins"]:
            lines.append(
                f"Stand-ins: {about['stand_ins']}. A stand-in recognises only the sounds it was trained on."
            )
        return lines

    def known_sounds(self) -> dict[str, tuple[str, ...]]:
        """Return the sounds that an encoder knows by its name, for encoders that know no others."""
        sounds = {part.label: tuple(part.known_sounds()) for part in self.recipe.features.encoders}
        return {encoder: known for encoder, known in sounds.items() if known}


def find_run(given: Path | None, *, below: Path = RUNS) -> Path:
    """Return the given folder of a run, or that of the newest finished run that was not set aside.

    Args:
        given: The folder, if it is known.
        below: Folder of the runs.

    Raises:
        RunError: There is no finished run.
    """
    if given is not None:
        return given
    runs = finished_runs(below)
    if not runs:
        raise RunError(
            f"there is no finished run in {str(below)!r}. Run a recipe first "
            "('amrbench run recipes/ours3.yaml'), or name one with --run."
        )
    return runs[0]


def open_run(folder: Path, registry: Registry, *, member: str = "", cache: Path | None = None) -> FinishedRun:
    """Read a finished run.

    Args:
        folder: Of the run, or its result.json.
        registry: Must have the parts of its recipe.
        member: The row of the model that predicts; empty for its first soup, else the first model that its
            `soup` names (e.g. "best single"), else seed 0.
        cache: The cache folder with the run's stages; None is the user's.

    Raises:
        RunError: It is not finished, or has no such member.
        RecipeError: A part of its recipe is not installed.
    """
    result = read_result(folder)
    file = folder if folder.is_file() else folder / RESULT
    try:
        recipe = Recipe.model_validate(result.recipe.options, context=registry)
    except ValidationError as error:
        mistakes = dict.fromkeys(detail["msg"].rstrip(".") for detail in error.errors())
        raise RecipeError(
            f"{file}: the recipe of this run cannot be built here: {'; '.join(mistakes)}."
            f"{_plugins_to_install(result, registry)}"
        ) from None
    rows = {row.member: row for row in result.rows if row.kind in _KINDS}
    if not rows:
        raise _damaged(file, "no soup, single or seed")
    if member and member not in rows:
        raise RunError(f"{file.parent}: the run has no member {member!r}. It has: {', '.join(rows)}.")
    row = rows[member] if member else min(rows.values(), key=lambda row: _KINDS.index(row.kind))
    if row.kind == "seed" and row.member not in result.models:
        raise _damaged(file, f"no weights of {row.member!r}")
    return FinishedRun(file.parent, result, row, recipe, cache or cache_folder())


def _plugins_to_install(result: Result, registry: Registry) -> str:
    """Return a sentence for each plugin that shipped parts of a run which are not installed now."""
    missing: dict[str, list[str]] = {}
    for part in result.parts:
        if part.use not in registry.names(part.slot):
            plugin = f"{part.plugin} ({part.distribution} {part.distribution_version})"
            missing.setdefault(plugin, []).append(part.use)
    return "".join(
        f" It used {some(uses)} of the plugin {plugin}: install it." for plugin, uses in missing.items()
    )


def open_runs(folders: Sequence[Path], registry: Registry, *, member: str = "") -> list[FinishedRun]:
    """Read some finished runs, or the newest one if none is named; see `open_run`.

    Raises:
        RunError: One is not finished, has no such member, or is named twice.
    """
    paths = [path.resolve() for path in folders]
    if twice := [folder for index, folder in enumerate(folders) if folder.resolve() in paths[:index]]:
        raise RunError(f"{twice[0]}: this run is named twice. Name each once.")
    return [open_run(folder, registry, member=member) for folder in folders or [find_run(None)]]


def _damaged(file: Path, what: str) -> RunError:
    return RunError(f"{file}: not as a run wrote it ({what}). Move the folder away and run the recipe again.")


def slug(name: str) -> str:
    """Return the name of a model as it is used in file names."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
