"""The parts that this plugin offers."""

from __future__ import annotations

from amrbench.part import Part
from amrbench_plugins.soups.fisher import Fisher
from amrbench_plugins.soups.greedy import Greedy
from amrbench_plugins.soups.none import NoSoup
from amrbench_plugins.soups.several import Several
from amrbench_plugins.soups.single import Best, Last
from amrbench_plugins.soups.uniform import Uniform

PARTS: tuple[type[Part], ...] = (NoSoup, Uniform, Greedy, Fisher, Best, Last, Several)
