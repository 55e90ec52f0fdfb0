import json

from amrbench.files.status_file import PAUSE_SECONDS, StatusFile


def test_numbers_are_written_seldom_and_everything_else_at_once(tmp_path):
    now, shown = 0.0, []
    file = StatusFile(tmp_path / "status.json", clock=lambda: now)
    for doing, done, seconds in (
        ("step", 1, 0.0),
        ("step", 2, 0.1),
        ("step", 3, PAUSE_SECONDS),
        ("validation", 3, 0.1),
        ("step", 4, 0.1),
    ):
        now += seconds
        file.write({"doing": doing, "done": done}, doing)
        shown.append(json.loads((tmp_path / "status.json").read_text()))
    assert [(status["doing"], status["done"]) for status in shown] == [
        *(("step", 1), ("step", 1), ("step", 3), ("validation", 3), ("step", 4))
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_disk_that_is_full_does_not_stop_the_work(tmp_path):
    StatusFile(tmp_path / "not there" / "status.json").write({"done": 1}, "step")
