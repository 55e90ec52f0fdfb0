"""The command line from outside: what it prints, and how it ends."""

from __future__ import annotations

import errno
import os
import runpy
import shlex
import subprocess
import sys
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

import amrbench as package
from amrbench import cli


def commands_below(group=None, words=()):
    """Yield the words and the command of each command that does something."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_below(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(commands_below())


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


# ---------------------------------------------------------------- help and version


def test_the_command_has_its_name_also_as_a_package_of_python(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["amrbench", "run", "--nonsense"])
    with pytest.raises(SystemExit):
        runpy.run_module("amrbench", run_name="__main__", alter_sys=True)
    assert capsys.readouterr().err.startswith("Usage: amrbench run ")


def test_help_lists_the_commands_in_groups(amrbench):
    code, out, _ = amrbench("--help")
    assert code == 0
    assert "--install-completion" in out
    groups = {
        "Run": ["run", "predict", "demo", "predict-checkpoint"],
        "Results": ["score", "compare", "fuse", "pack"],
        "Plugins and checks": ["check", "parts", "schema"],
        "Data": ["data"],
    }
    expected = [name for group, names in groups.items() for name in (group, *names)]
    first = [line.strip("│╭╮─ ").partition("  ")[0] for line in out.splitlines()]
    assert [text for text in first if text in expected] == expected


@pytest.mark.parametrize("words", [(), ("data",), *COMMANDS], ids=" ".join)
def test_h_is_help_everywhere(amrbench, words):
    code, out, err = amrbench(*words, "-h")
    assert (code, err) == (0, "")
    assert f"Usage: {' '.join(('amrbench', *words))} " in out
    assert amrbench(*words, "--help")[1] == out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_ends_with_an_example_that_is_accepted(amrbench, words):
    command = COMMANDS[words]
    _, out, _ = amrbench(*words, "-h")
    assert " ".join(out.split()).endswith(command.epilog)
    example = command.epilog.removeprefix("Example: ").partition(" > ")[0]
    arguments = shlex.split(example)
    assert arguments[: len(words) + 1] == ["amrbench", *words]
    command.make_context(words[-1], arguments[len(words) + 1 :])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_texts_have_no_square_brackets(words):
    """They are markup and would not be shown."""
    command = COMMANDS[words]
    texts = [command.help, command.epilog, *(parameter.help for parameter in command.params)]
    assert [text for text in texts if text and "[" in text] == []


def test_help_says_what_extras_and_threads_change():
    extract, run = COMMANDS["data", "extract"], COMMANDS["run",]
    assert "With the extra 'video' also of M4A, WebM and videos." in extract.help
    (jobs,) = (option for option in run.params if option.name == "jobs")
    assert (
        jobs.show_default
        == "cores divided by the protocol's threads, as memory allows; one to train on a GPU"
    )


def test_the_version_is_that_of_the_distribution(amrbench):
    assert amrbench("--version") == (0, f"amrbench {version('amrbench')}\n", "")
    assert package.__version__ == version("amrbench")


# ---------------------------------------------------------------- completion


def complete(amrbench, monkeypatch, line):
    monkeypatch.setenv("_AMRBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    return amrbench()[1].split()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("amrbench pre", ["predict", "predict-checkpoint"]),
        ("amrbench data st", ["status", "statistics"]),
        ("amrbench run --dry", ["--dry-run"]),
        ("amrbench run ours3 sliding", ["sliding-window"]),
        ("amrbench run compo", ["components"]),
        ("amrbench data status --protocol synthetic-", ["synthetic-chains", "synthetic-scenes"]),
        ("amrbench run recipes/", []),
    ],
)
def test_shells_complete_commands_options_and_shipped_names(amrbench, monkeypatch, line, completed):
    assert complete(amrbench, monkeypatch, line) == completed


# ---------------------------------------------------------------- errors


def test_an_unknown_command_ends_with_two(amrbench):
    code, _, err = amrbench("frobnicate")
    assert code == 2
    assert "frobnicate" in err


_REMEDY = (
    "Check that it is the right file or folder, that it may be read and written, and that the disk is not "
    "full."
)


@pytest.mark.parametrize("name", ["out.jsonl", Path("out.jsonl"), b"out.jsonl"])
def test_an_os_error_that_names_a_file_is_one_message(amrbench, monkeypatch, name):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr(cli, "app", refuse)
    assert amrbench("parts") == (2, "", f"error: out.jsonl: Permission denied. {_REMEDY}\n")


@pytest.mark.parametrize("error", [OSError("no bytes"), OSError(errno.EBADF, "Bad file descriptor", 7)])
def test_an_os_error_that_names_no_file_is_a_bug(amrbench, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(OSError, match="no bytes|Bad file"):
        amrbench("parts")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_an_os_error_of_writing_the_output_is_one_message(amrbench, monkeypatch, number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cli, "app", fail)
    assert amrbench("parts") == (
        2,
        "",
        f"error: the output of this command cannot be written ({os.strerror(number)}). Free some space, or "
        "write elsewhere.\n",
    )


@pytest.fixture
def scored(tmp_path):
    """Return the command that scores a prediction file whose name is not UTF-8."""
    files = [tmp_path / os.fsdecode(b"pr\xe9d.jsonl"), tmp_path / "truth.jsonl"]
    try:
        files[0].write_text('{"qid": 1, "vid": "a", "pred_relevant_windows": [[1, 9, 0.9]]}')
    except OSError:
        pytest.skip("names must be UTF-8 here")
    files[1].write_text('{"qid": 1, "query": "x", "duration": 60, "vid": "a", "relevant_windows": [[1, 9]]}')
    return [sys.executable, "-m", "amrbench", "score", files[0], "--truth", files[1]]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_that_are_no_text_are_printed_with_backslashes(scored, encoding):
    environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "1"}
    ended = subprocess.run(scored, capture_output=True, env=environment)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"pr\\udce9d.jsonl" in ended.stdout


def test_what_takes_the_place_of_the_output_may_be_simpler(amrbench, monkeypatch):
    monkeypatch.setattr(sys, "stdout", StringIO())
    assert amrbench("--version")[0] == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no file that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_to_a_full_disk_ends_with_two(scored, unbuffered):
    """Also if messages go there too, and although Python writes at its end what it still has in memory."""
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(scored, stdout=full, stderr=subprocess.PIPE, env=environment, text=True)
        both = subprocess.run(scored, stdout=full, stderr=full, env=environment)
    assert ended.stderr == (
        "error: the output of this command cannot be written (No space left on device). Free some space, or "
        "write elsewhere.\n"
    )
    assert (ended.returncode, both.returncode) == (2, 2)


def test_a_file_name_longer_than_the_system_allows(amrbench, tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.full(32000, 0.25), 16000)
    output = tmp_path / f"{'x' * 248}.h5"
    code, _, err = amrbench("data", "extract", tmp_path / "in", "--encoder", "mini-clap", "-o", output)
    assert code == 2
    assert "File name too long" in err.splitlines()[-1]
