"""What a command may not read or write, as a person meets it: one message, and exit code 2."""

import shutil

import pytest

from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.permissions import with_mode
from tests.small_world.runs import changed, prepare_splits, run_in, write_yaml

RUN = ("run", "toy.yaml", "--protocol", "tiny.yaml", "--jobs", 1)
DENIED = "but it cannot be written to (Permission denied). Let this user write there, or "
CACHE = "name another cache folder in AMRBENCH_CACHE."
OUT = "name another folder with --out."


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A folder with prepared data and nothing that is trained, and a copy with a finished run."""
    folder = tmp_path_factory.mktemp("before")
    prepare_splits(folder / "new" / "cache")
    write_yaml(folder / "new" / "toy.yaml", changed(RECIPE, soup="mean"))
    write_yaml(folder / "new" / "tiny.yaml", changed(PROTOCOL, seeds=2))
    shutil.copytree(folder / "new", folder / "finished")
    run_in(folder / "finished")
    return folder


@pytest.fixture
def here(before, tmp_path, amrbench, monkeypatch):
    """Return a function that returns a folder of its own to work in."""

    def make(name):
        folder = tmp_path / name
        shutil.copytree(before / name, folder)
        monkeypatch.setenv("AMRBENCH_CACHE", str(folder / "cache"))
        monkeypatch.setattr("amrbench.cli.run.registry_of", lambda _: REGISTRY)
        monkeypatch.chdir(folder)
        return folder

    return make


def refusal(amrbench, *command):
    """Give a command that is refused; return its message."""
    code, out, err = amrbench(*command)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert " epoch " not in err, "nothing is trained before"
    (message,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return message.removeprefix("error: ")


@pytest.mark.parametrize(
    ("folder", "mode", "message"),
    [
        ("cache/stages", 0o555, "{}: trained stages would go there, " + DENIED + CACHE),
        ("cache/stages", 0o000, "{}: trained stages would go there, " + DENIED + CACHE),
        ("cache", 0o555, "{}/stages: trained stages would go there, " + DENIED + CACHE),
        ("runs", 0o555, "runs: the runs would go there, " + DENIED + OUT),
        ("runs", 0o000, "runs: the runs would go there, " + DENIED + OUT),
        (
            "cache/data",
            0o000,
            "{}/{key}: cannot be read (Permission denied). Let this user read it, or move it away; what it "
            "held is then made again.",
        ),
    ],
)
def test_a_forbidden_folder_is_named_before_anything_is_trained(here, amrbench, folder, mode, message):
    path = here("new") / folder
    path.mkdir(exist_ok=True)
    with with_mode(path, mode):
        said = refusal(amrbench, *RUN)
    start, *rest = message.replace("{key}", "{hash}").format(path, hash="\0").split("\0")
    assert said.startswith(start)
    assert said.endswith(rest[0] if rest else start)


@pytest.mark.parametrize(
    ("folder", "what", "remedy"),
    [
        ("cache/stages", "trained stages", CACHE),
        ("runs", "the runs", OUT),
        ("cache/data", "prepared data", CACHE),
    ],
)
def test_a_file_in_place_of_a_folder_is_named(here, amrbench, folder, what, remedy):
    path = here("new") / folder
    shutil.rmtree(path, ignore_errors=True)
    path.touch()
    shown = folder if folder == "runs" else path
    assert refusal(amrbench, *RUN) == (
        f"{shown}: {what} would go there, but {shown} is a file. Move it away, or {remedy}"
    )


def test_prepared_data_that_cannot_be_kept_are_refused_before_they_are_made(here, amrbench):
    data = here("new") / "cache" / "data"
    shutil.rmtree(data)
    data.mkdir()
    with with_mode(data, 0o555):
        assert refusal(amrbench, *RUN) == f"{data}: prepared data would go there, {DENIED}{CACHE}"


@pytest.mark.parametrize("name", ["cache", "runs"])
def test_a_finished_run_needs_no_writing(here, amrbench, name):
    with with_mode(here("finished") / name, 0o555):
        code, out, err = amrbench(*RUN)
    assert code == 0, err
    assert "toy" in out


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("cache/stages/*/weights.span.safetensors", (*RUN, "--out", "elsewhere")),
        ("cache/stages/*/last.safetensors", (*RUN, "--out", "elsewhere")),
        ("cache/stages/*/log.jsonl", (*RUN, "--out", "elsewhere")),
        ("cache/stages/*/SHA256SUMS", (*RUN, "--out", "elsewhere")),
        ("runs/*/*.safetensors", RUN),
        ("runs/*/predictions/seed-0.test.jsonl", RUN),
        ("runs/*/*.safetensors", ("compare", "runs", "runs")),
    ],
)
def test_a_file_that_may_not_be_read_is_named_and_nothing_is_thrown_away(here, amrbench, pattern, command):
    folder = here("finished")
    file = sorted(folder.glob(pattern))[0]
    if command[0] == "compare":
        run = next((folder / "runs").iterdir())
        command = ("compare", run, run)
    with with_mode(file, 0):
        said = refusal(amrbench, *command)
    assert said.endswith(
        f"{file.relative_to(folder / 'runs') if 'runs' in pattern else file.name}: cannot be read "
        "(Permission denied). Let this user read it, or move it away; what it held is then made again."
    )
    assert not list(folder.rglob("*.damaged"))
    assert amrbench(*command)[0] == 0
