import pytest

from amrbench.errors import RunError
from amrbench.evaluation.result import Result, Row, Slice
from amrbench.evaluation.table import run_table
from tests.small_world.written_runs import made_up_result


def row(member: str, kind: str, value: float) -> Row:
    parts = tuple(
        Slice(value=name, queries=2, metrics={"R1@0.5": value / 2, "mAP": 1.0}) for name in ("early", "late")
    )
    metrics = {"R1@0.5": value, "mAP": 1.0}
    return Row(member=member, kind=kind, split="test", queries=4, metrics=metrics, slices={"kind": parts})


def results(recipe: str = "toy", value: float = 50.0, *, rows: tuple[Row, ...] = (), **options) -> Result:
    rows = rows or (
        row("seed 0", "seed", value),
        row("mean", "mean", value),
        row("whole recording", "prior", 12.5),
    )
    options = {"stand_ins": "mini-clap stands in for clap"} | options
    return made_up_result(recipe, rows, features={"use": "mini-clap"}, **options)


def table(runs: list[Result], form: str = "github", by: str = "") -> str:
    return run_table(runs, by=by).text(form)


def test_a_table_has_protocol_and_stand_ins_above_its_rows():
    assert table([results()]).splitlines() == [
        "Protocol tiny, split test: For tests.",
        "Stand-ins: mini-clap stands in for clap.",
        "",
        "| recipe   | member          |   queries |   R1@0.5 |   mAP |",
        "|----------|-----------------|-----------|----------|-------|",
        "| toy      | seed 0          |         4 |    50.00 |  1.00 |",
        "| toy      | mean            |         4 |    50.00 |  1.00 |",
        "|          | whole recording |         4 |    12.50 |  1.00 |",
    ]


def test_a_control_that_is_missing_has_a_blank_row_and_a_reason_above():
    missing = Row(
        member="shuffled", kind="control", split="test", queries=0, metrics={}, note="missing, because of x"
    )
    run = results(rows=(row("seed 0", "seed", 50.0), missing, row("whole recording", "prior", 12.5)))
    lines = table([run]).splitlines()
    assert lines[2] == "toy, shuffled: missing, because of x."
    assert lines[7] == "| toy      | shuffled        |         0 |          |       |"
    assert "shuffled" not in "".join(table([run], by="kind").splitlines()[4:])
    assert run_table([run]).as_json()["rows"][1]["metrics"] == {}


def test_baselines_appear_once_at_the_end():
    lines = table([results(), results("other")]).splitlines()[5:]
    assert [line.split("|")[1].strip() for line in lines] == ["toy", "toy", "other", "other", ""]


def test_a_run_given_twice_appears_once():
    assert table([results(), results("other"), results()]) == table([results(), results("other")])


def test_stand_ins_of_all_runs_are_named():
    text = table([results(), results("other", stand_ins="mini-clap-wide stands in for m2d-clap")])
    assert (
        "Stand-ins: mini-clap stands in for clap.\nStand-ins: mini-clap-wide stands in for m2d-clap." in text
    )
    assert "Stand-ins" not in table([results(stand_ins="")])


def test_runs_without_public_ground_truth_have_no_slices():
    unscored = results(rows=(Row(member="seed 0", kind="seed", split="test", queries=4, metrics={}),))
    text = table([unscored], by="kind")
    assert text == table([unscored])
    assert "The ground truth is not public: predictions only, no metrics." in text


def test_a_slice_has_a_row_of_its_own():
    lines = table([results()], by="kind").splitlines()
    assert lines[5] == "| toy      | seed 0          | early  |         2 |    25.00 |  1.00 |"
    assert len(lines) == 5 + 3 * 2


@pytest.mark.parametrize("form", ["tsv", "latex"])
def test_headings_are_comments_where_the_format_has_them(form):
    first, second, *rest = table([results()], form).splitlines()
    mark = {"tsv": "# ", "latex": "% "}[form]
    assert first == f"{mark}Protocol tiny, split test: For tests."
    assert second == f"{mark}Stand-ins: mini-clap stands in for clap."
    assert "seed 0" in "".join(rest)


def test_json_keeps_all_digits():
    data = run_table([results(value=100 / 3)], by="kind").as_json()
    assert data["protocol"] == "tiny"
    assert data["stand_ins"] == ["mini-clap stands in for clap"]
    assert data["rows"][0] == {
        "recipe": "toy",
        "member": "seed 0",
        "kind": "early",
        "queries": 2,
        "metrics": {"R1@0.5": 100 / 3 / 2, "mAP": 1.0},
    }


def test_protocols_are_not_mixed():
    with pytest.raises(RunError) as error:
        table([results(), results("other", protocol="castella")])
    assert str(error.value) == (
        "toy (toy) was run under the protocol 'tiny', other (other) under 'castella': their metrics mean "
        "different things and cannot be compared."
    )


def test_a_protocol_that_changed_in_between_is_refused():
    with pytest.raises(RunError) as error:
        table([results(), results("other", conditions="new")])
    assert str(error.value) == (
        "the protocol 'tiny' or its data changed between toy (toy) and other (other), so they cannot be "
        "compared. Run the older one again."
    )


def test_an_unknown_key_or_form_names_the_known_ones():
    with pytest.raises(RunError, match=r"no slices by 'kin'\. Did you mean 'kind'\? It has: kind\."):
        table([results()], by="kin")
    with pytest.raises(RunError, match=r"no table format 'tex'.*Use github, tsv, latex, json"):
        table([results()], "tex")
    with pytest.raises(RunError, match="at least one run"):
        table([])
