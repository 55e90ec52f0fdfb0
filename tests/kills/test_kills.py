"""A short form of `python -m tests.kills`."""

import pytest

from tests.kills.__main__ import killed


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path, jobs):
    tally = killed(tmp_path, kills=5, jobs=jobs, seed=jobs, save_every=0.5, longest=12.0)
    assert tally.kills == 5
    assert tally.different == []
    assert tally.in_stages
