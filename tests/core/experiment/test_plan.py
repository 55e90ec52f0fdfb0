from dataclasses import replace

import pytest

from amrbench.errors import RunError
from amrbench.experiment.plan import plan_run
from amrbench.registry import Registry
from amrbench_plugins.datasets.parts import Files
from tests.small_world.parts import PARTS, PROTOCOL, RECIPE
from tests.small_world.runs import changed, plan, request_of


def test_each_seed_has_a_chain_with_a_name(toy_sources):
    planned = plan(toy_sources)
    assert [[spec.name for spec in last.chain] for last in planned.chains] == [
        ["toy pretrain", "toy finetune, seed 0"],
        ["toy pretrain", "toy finetune, seed 1"],
    ]


def test_a_split_that_is_trained_on_is_not_scored(toy_sources):
    data = changed(PROTOCOL["data"], pretrain={"use": "toy"})
    splits = {"train": ["val"], "select": "test", "report": "train"}
    with pytest.raises(
        RunError, match=r"'train' is to be scored, but the stage 'pretrain' trains on 24 of its 24"
    ):
        plan(toy_sources, protocol=PROTOCOL | {"data": data, "splits": splits})


def test_a_query_is_recognised_by_recording_and_sentence(toy_sources):
    """Ids, durations and windows of the same query differ between published files."""
    request = request_of()
    report_key = request.splits.report.key
    report, train = toy_sources[report_key], toy_sources[request.splits.training("target")[0].key]
    query = replace(train.queries[0], qid="other", duration=61.0, windows=((1.0, 2.0),))
    leaky = toy_sources | {report_key: replace(report, queries=(*report.queries[1:], query))}
    with pytest.raises(RunError, match=r"the stage 'finetune' trains on 1 of its 24 queries"):
        plan_run(request, leaky)


@pytest.mark.parametrize(
    "changes", [{"budget": {}}, {"chains": "own"}, {"data": PROTOCOL["data"] | {"midtrain": {"use": "toy"}}}]
)
def test_a_run_under_other_conditions_has_another_hash(toy_sources, changes):
    protocol = PROTOCOL | {"seeds": 1}
    hashes = {plan(toy_sources, RECIPE, conditions).hash for conditions in (protocol, protocol | changes)}
    assert len(hashes) == 2


def test_where_data_lies_changes_no_hash(toy_sources):
    registry = Registry.of(*PARTS, Files)
    protocols = [
        changed(PROTOCOL, data__midtrain={"use": "files", "folder": folder}) for folder in ("a", "b/a", "b")
    ]
    plans = [plan(toy_sources, RECIPE, protocol, registry=registry) for protocol in protocols]
    assert len({planned.hash for planned in plans}) == len({planned.comparable for planned in plans}) == 1
