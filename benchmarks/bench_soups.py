"""Time and memory of making soups of 25 stored models of full size, against their plain twins.

The weights are random and the models have the 12 million numbers of the baseline with losses. Nothing is
scored: every candidate improves the greedy soup, which is the slowest case, and the Fisher information is
made of the weights. Each soup is made in a process of its own, with one thread and all files in the page
cache. Time is processor time; memory is the growth of anonymous memory, in models of four bytes a number,
without the pages of files, which the system can reclaim.

Run: pytest benchmarks/bench_soups.py --benchmark-enable -s
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from amrbench.config.load import find, load_recipe
from amrbench.discovery import load_registry
from amrbench.files.weights import StoredWeights, read_weights, write_weights
from amrbench.slots.soups import SoupPart, Weights
from amrbench.training.criterion import build_criterion
from amrbench.types import BuildContext, FeatureWidths
from amrbench_plugins.soups.parts import Fisher, Greedy, Uniform
from benchmarks.interleaved import in_turns, seconds
from tests.plugins.soups.plain import plain_fisher, plain_mean

CANDIDATES = 25
ROUNDS = {"uniform": 5, "greedy": 1, "fisher": 1}
SOUPS = {"uniform": Uniform(), "greedy": Greedy(), "fisher": Fisher()}


@dataclass(frozen=True)
class File:
    """A stored candidate."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def best(self) -> Weights:
        return StoredWeights(self.path)

    def last(self) -> Weights:
        return StoredWeights(self.path)


class Improving:
    """Scores each soup higher than all before, and takes squares of weights for their information."""

    def __init__(self, fixed: frozenset[str]) -> None:
        self.fixed = fixed
        self.scored = 0

    def performance(self, _: Weights) -> float:
        self.scored += 1
        # Candidates are scored first, and tried from the highest score to the lowest.
        return float(self.scored if self.scored > CANDIDATES else -self.scored)

    def fisher(self, weights: Weights, _: Sequence[str], __: str) -> Weights:
        return squares(weights, self.fixed)


def squares(weights: Weights, fixed: frozenset[str]) -> dict[str, Tensor]:
    return {name: value.double().square() for name, value in weights.items() if name not in fixed}


@dataclass(frozen=True)
class Stored:
    """The files of the candidates, and the names of the tensors that training does not change."""

    files: tuple[Path, ...]
    fixed: frozenset[str]
    megabytes: float


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder, registry = tmp_path_factory.mktemp("candidates"), load_registry()
    recipe = load_recipe(find("recipe", "cgdetr"), registry)
    criterion = build_criterion(recipe, BuildContext(FeatureWidths(768, 768), 0, 0.0, window_widths=(0.1,)))
    state = criterion.state_dict()
    trained = {name for name, weight in criterion.named_parameters() if weight.requires_grad}
    generator = torch.Generator().manual_seed(0)
    files = []
    for number in range(CANDIDATES):
        drawn = {
            name: torch.randn(value.shape, generator=generator) if name in trained else value
            for name, value in state.items()
        }
        files.append(folder / f"seed {number}.safetensors")
        write_weights(files[-1], drawn, {})
    size = sum(value.numel() * value.element_size() for value in state.values())
    return Stored(tuple(files), frozenset(state.keys() - trained), size / 2**20)


def made(part: SoupPart, stored: Stored) -> Mapping[str, Tensor]:
    (result,) = part.build()([File(path) for path in stored.files], Improving(stored.fixed)).values()
    return result.weights


def made_plainly(part: SoupPart, stored: Stored) -> Mapping[str, Tensor]:
    """Make the same soup with a new tensor for every intermediate result."""
    models = [read_weights(path) for path in stored.files]
    if isinstance(part, Fisher):
        information = (squares(model, stored.fixed) for model in models)
        return plain_fisher(models, stored.fixed, information, part.floor)[0]
    if isinstance(part, Greedy):
        for size in range(2, CANDIDATES + 1):
            plain_mean(models[:size], stored.fixed)
    return plain_mean(models, stored.fixed)


class Peak:
    """The largest anonymous memory of this process, read every few milliseconds."""

    def __enter__(self) -> Peak:
        self.before = self.most = anonymous()
        self.stop = Event()
        self.thread = Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.stop.wait(0.003):
            self.most = max(self.most, anonymous())


def anonymous() -> float:
    """Return the anonymous memory of this process in MiB."""
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


def seconds_of(name: str, stored: Stored, *, plain: bool) -> float:
    torch.set_num_threads(1)
    return seconds(lambda: (made_plainly if plain else made)(SOUPS[name], stored))


def models_of(name: str, stored: Stored, *, plain: bool) -> float:
    """Return the peak memory of making a soup, in models."""
    torch.set_num_threads(1)
    gc.collect()
    with Peak() as peak:
        (made_plainly if plain else made)(SOUPS[name], stored)
    return (peak.most - peak.before) / stored.megabytes


@pytest.fixture
def fresh() -> Iterator[ProcessPoolExecutor]:
    """Processes that do one task each."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield pool


@pytest.mark.parametrize("name", SOUPS)
def test_soup(benchmark: BenchmarkFixture, stored: Stored, fresh: ProcessPoolExecutor, name: str) -> None:
    part = SOUPS[name]
    ours, twin = made(part, stored), made_plainly(part, stored)
    assert all(torch.equal(value, twin[key]) for key, value in ours.items())

    def in_a_process(measure: Callable[..., float], *, plain: bool) -> float:
        return fresh.submit(measure, name, stored, plain=plain).result()

    rounds = in_turns(
        lambda: in_a_process(seconds_of, plain=False),
        lambda: in_a_process(seconds_of, plain=True),
        ROUNDS[name],
    )
    models, plain_models = (in_a_process(models_of, plain=plain) for plain in (False, True))
    benchmark.extra_info.update(rounds.extra_info(), models=models, plain_models=plain_models)
    print(f"\n{name}: {models:.1f} models of memory, plainly {plain_models:.1f}; {rounds.text()}")
    benchmark.pedantic(lambda: seconds_of(name, stored, plain=False), rounds=1)
