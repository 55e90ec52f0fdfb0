from amrbench.experiment.part_versions import version_of, versions
from amrbench.registry import Entry, Origin, Registry
from tests.small_world.data import Events, OneHot


def test_parts_of_strangers_count_with_the_version_of_their_distribution():
    ours, theirs = Origin("toy", "amrbench", "0.1"), Origin("toy", "amrbench-toy", "2.3")
    registry = Registry([Entry(Events, ours), Entry(OneHot, theirs)])
    assert version_of(Events, registry) == str(Events.version)
    assert version_of(OneHot(), registry) == f"{OneHot.version} (amrbench-toy 2.3)"
    assert versions([Events(name="pre"), OneHot()], registry) == {
        f"{Events.slot}/{Events.use}": str(Events.version),
        f"{OneHot.slot}/{OneHot.use}": f"{OneHot.version} (amrbench-toy 2.3)",
    }
