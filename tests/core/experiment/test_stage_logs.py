import json
from dataclasses import replace

from amrbench.experiment.stage_logs import copy_logs, log_file
from tests.small_world.parts import PROTOCOL
from tests.small_world.runs import changed, plan


def test_the_logs_of_a_run_are_those_of_its_stages(finished):
    store = finished.folder.parents[1] / "cache" / "stages"
    for stage in finished.result.stages:
        copied = (finished.folder / stage.log).read_bytes()
        assert copied == (store / stage.key / "log.jsonl").read_bytes()
        assert [json.loads(line)["epoch"] for line in copied.splitlines()] == [*range(1, stage.epochs + 1)]


def test_each_stage_has_a_file_of_its_own(toy_sources):
    for chains in ("shared", "own"):
        stages = plan(toy_sources, protocol=changed(PROTOCOL, chains=chains, seeds=3)).stages
        assert len({log_file(spec) for spec in stages}) == len(stages) == {"shared": 4, "own": 6}[chains]
    assert log_file(stages[-1]) == "logs/2-toy-finetune-seed-2.jsonl"
    assert log_file(replace(stages[0], index=1)) != log_file(stages[0])


def test_logs_are_copied_byte_for_byte(toy_sources, tmp_path):
    stages = plan(toy_sources).stages
    for spec in stages:
        (tmp_path / "stages" / spec.key).mkdir(parents=True)
        (tmp_path / "stages" / spec.key / "log.jsonl").write_bytes(spec.key.encode() + b"\r\n")
    copy_logs(stages, tmp_path / "stages", tmp_path)
    for spec in stages:
        assert (tmp_path / log_file(spec)).read_bytes() == spec.key.encode() + b"\r\n"
