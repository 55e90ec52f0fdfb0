from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.registry import Registry
from amrbench.slots.observers import ObserverPart
from amrbench.testing import check_part


class Silent:
    """Sees everything and does nothing."""

    def begin(self, runs):
        pass

    def epoch(self, epoch):
        pass

    def end(self, run, rows):
        pass

    def close(self):
        pass


class Quiet(ObserverPart):
    """An observer that does nothing."""

    use = "quiet"

    def build(self):
        return Silent()


class Hasty(ObserverPart):
    """An observer that writes before anything begins."""

    use = "hasty"

    def build(self):
        open("log.txt", "w").close()
        return Silent()


class Meddling(ObserverPart):
    """An observer that changes losses."""

    use = "meddling"

    def build(self):
        class Meddler(Silent):
            def epoch(self, epoch):
                epoch.losses["spans"] = 0.0

        return Meddler()


class Talking(ObserverPart):
    """An observer that returns something."""

    use = "talking"

    def build(self):
        class Talker(Silent):
            def begin(self, runs):
                return len(runs)

        return Talker()


class Opening(ObserverPart):
    """An observer that opens its file in `begin`."""

    use = "opening"

    def build(self):
        class Opener(Silent):
            def begin(self, runs):
                self.file = Path("log.txt").open("w")  # noqa: SIM115 - closed in `close`

            def close(self):
                self.file.close()

        return Opener()


class Absent(ObserverPart):
    """An observer whose package is not installed."""

    use = "absent"

    def build(self):
        try:
            import a_package_that_nobody_has  # noqa: F401
        except ImportError as error:
            raise RunError("install it") from error


REGISTRY = Registry.of(Quiet, Hasty, Meddling, Talking, Opening, Absent)


@pytest.mark.parametrize("part", [Quiet, Absent])
def test_a_good_observer_passes_and_one_without_its_package_is_left_alone(part):
    check_part(part(), REGISTRY)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Hasty, "observer 'hasty': build and close write files before anything begins."),
        (
            Opening,
            "observer 'opening': close fails where begin was not called: AttributeError: 'Opener' object has "
            "no attribute 'file'. A command that fails early calls it too, so set in __init__ what it reads.",
        ),
        (Meddling, "observer 'meddling': it changes what it is shown."),
        (Talking, "observer 'talking': a method returns int 2, not None."),
    ],
)
def test_what_a_bad_observer_does_is_named(part, text):
    with pytest.raises(AssertionError) as failure:
        check_part(part(), REGISTRY)
    assert str(failure.value) == text
