"""Encoders by their names in recipes and protocols."""

from __future__ import annotations

from typing import NoReturn

from amrbench.errors import DataError
from amrbench.part import Part
from amrbench.slots import Backend, FeaturesPart


class MiniClap(FeaturesPart):
    """Small contrastive encoders that know the procedural sounds only; a stand-in for CLAP.

    64 features; hears the spectrum of each second, but hardly its rhythm.
    """

    use = "mini-clap"

    def build(self) -> Backend:
        """Return the encoders with the shipped weights."""
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use)


class MiniClapWide(FeaturesPart):
    """Larger encoders of the same kind that also hear rhythm; a stand-in for M2D-CLAP."""

    use = "mini-clap-wide"

    def build(self) -> Backend:
        """Return the encoders with the shipped weights."""
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use)


class Clap(FeaturesPart):
    """MS-CLAP 2023: 768 features a second and a token (Elizalde et al. 2023). Only its published features."""

    use = "clap"

    def build(self) -> Backend:
        """Raise DataError: the weights are not read."""
        _not_read(self.use, "Zenodo 17412176 (CASTELLA), 13806234 (Clotho-Moment)")


class M2dClap(FeaturesPart):
    """M2D-CLAP 2025: 768 features a second and a token (Niizumi et al. 2025). Only its published features."""

    use = "m2d-clap"

    def build(self) -> Backend:
        """Raise DataError: the weights are not read."""
        _not_read(self.use, "Zenodo 20772071 (CASTELLA), 20770460 (Clotho-Moment)")


def _not_read(name: str, published: str) -> NoReturn:
    raise DataError(
        f"encoder {name!r}: this version does not read its weights; published feature files in the layout "
        f"features/<dataset>/{name}/<vid>.npz ({published}) are read by `amrbench predict`, and a protocol "
        "with a stand-in, such as synthetic, needs neither."
    )


PARTS: tuple[type[Part], ...] = (Clap, M2dClap, MiniClap, MiniClapWide)
