import io
import re
import tempfile

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError, RunError
from amrbench.experiment.finished_run import open_run
from amrbench.tools import demo_server
from amrbench.tools.demo_server import (
    LONGEST_SENTENCE,
    MOST_SENTENCES,
    Demo,
    Question,
    demo_app,
    listening,
)
from amrbench.tools.predict_audio import find_moments
from tests.small_world.parts import REGISTRY

testclient = pytest.importorskip("starlette.testclient")
RATE = 8000
BODY = {"Content-Type": "application/octet-stream"}
HOSTILE = "<script>alert('a')</script> 2"


def wav(seconds=15.0):
    """Return the bytes of a recording."""
    file = io.BytesIO()
    soundfile.write(file, np.ones(round(seconds * RATE), np.float32), RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture
def demo(soup_run):
    return Demo([open_run(soup_run.folder, REGISTRY)], top=2)


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """Return the folder in which uploads lie for a while."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def ask(demo, uploads):
    """Return a function that sends a recording and sentences; nothing of it is left afterwards."""
    client = testclient.TestClient(demo_app(demo, largest=1_000_000), base_url="http://localhost:8765")

    def send(content, name="street.wav", sentences=("class 1",), headers=BODY):
        query = [("name", name), *(("sentence", text) for text in sentences)]
        response = client.post("/moments", params=query, content=content, headers=headers)
        assert [*uploads.iterdir()] == []
        return response

    send.client = client
    return send


def test_the_answer_is_that_of_predict(ask, demo, tmp_path):
    response = ask(wav(), "my street.wav", ["class 1", HOSTILE])
    assert response.status_code == 200
    answer = response.json()
    (tmp_path / "a.wav").write_bytes(wav())
    expected = find_moments(tmp_path / "a.wav", ["class 1", HOSTILE], demo.models[0])
    assert answer.keys() == {"timelines", "labels", "table", "stem", "notes"}
    rows = answer["timelines"]["timelines"]
    assert [(row["query"], row["vid"]) for row in rows] == [
        ("class 1", "my street.wav"),
        (HOSTILE, "my street.wav"),
    ]
    for row, own in zip(rows, expected.answers, strict=True):
        np.testing.assert_allclose(row["systems"][0]["moments"], own.moments[:2], atol=1e-3)
        assert (row["audio"], row["spectrogram"]) == (0, 1)
    assert len(answer["labels"].splitlines()) == 4
    assert [line.split(",")[0] for line in answer["table"].splitlines()] == ["vid", *["my street"] * 4]
    assert (answer["stem"], answer["notes"]) == ("my street", [])


def test_a_recording_without_a_suffix_keeps_its_whole_name(ask):
    answer = ask(wav(), "talk 3.5").json()
    assert answer["stem"] == "talk 3.5"
    assert [line.split(",")[0] for line in answer["table"].splitlines()] == ["vid", *["talk 3.5"] * 2]


def test_notes_call_the_recording_by_its_name(ask):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(15 * RATE, np.float32), RATE, format="WAV")
    (note,) = ask(file.getvalue()).json()["notes"]
    assert note.startswith("street.wav: ")


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        (
            {"content": b"no audio at all"},
            400,
            'street.wav: is text: "no audio at all". Copy or download the right file.',
        ),
        ({"content": b""}, 400, "street.wav: "),
        ({"content": b"<html>" * 100}, 400, "street.wav: "),
        ({"content": bytes(1_000_001)}, 413, "street.wav: is larger than 1 MB. Send a shorter recording."),
        (
            {"name": "../street.wav"},
            400,
            "the name '../street.wav' holds a path. Send the name of the file alone.",
        ),
        (
            {"name": "/etc/passwd"},
            400,
            "the name '/etc/passwd' holds a path. Send the name of the file alone.",
        ),
        ({"name": "C:\\a.wav"}, 400, r"the name 'C:\\a.wav' holds a path. Send the name of the file alone."),
        ({"name": ".."}, 400, "the recording has no usable name. Rename the file."),
        ({"name": "a\0.wav"}, 400, "the recording has no usable name. Rename the file."),
        ({"name": "a" * 256}, 400, "the recording has no usable name. Rename the file."),
        ({"name": ""}, 400, "the recording has no usable name. Rename the file."),
        ({"sentences": []}, 400, "there is no sentence. Write at least one."),
        ({"sentences": [" "]}, 400, "a query is blank. Describe in a sentence what to find."),
        ({"sentences": ["a"] * 21}, 400, f"there are 21 sentences. Ask at most {MOST_SENTENCES} at once."),
        (
            {"sentences": ["b" * 301]},
            400,
            f"the sentence '{'b' * 30}'... is longer than {LONGEST_SENTENCE} characters.",
        ),
        (
            {"headers": {"Content-Type": "text/plain"}},
            415,
            "a recording is sent as application/octet-stream.",
        ),
        ({"headers": {}}, 415, "a recording is sent as application/octet-stream."),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask, change, status, text):
    response = ask(**{"content": wav(), **change})
    assert response.status_code == status
    assert response.json().keys() == {"error"}
    assert response.json()["error"].startswith(text)
    assert "amrbench-demo-" not in response.json()["error"]


def test_a_long_recording_is_for_the_command_line(ask, monkeypatch):
    monkeypatch.setattr(demo_server, "LONGEST_SOUND", 12.0)
    assert ask(wav()).json()["error"] == (
        "street.wav: lasts 0 minutes; the page takes at most 0. Use 'amrbench predict'."
    )


def test_a_bug_leaves_no_upload_behind(demo, uploads, monkeypatch):
    monkeypatch.setattr(Demo, "_answer", lambda *_: 1 / 0)
    client = testclient.TestClient(demo_app(demo), "http://localhost", raise_server_exceptions=False)
    response = client.post("/moments?name=a&sentence=b", content=wav(), headers=BODY)
    assert response.status_code == 500
    assert response.json() == {
        "error": "the server failed (ZeroDivisionError). The terminal shows where; it is a bug."
    }
    assert [*uploads.iterdir()] == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "localhost.evil.example", ""])
def test_other_hosts_are_refused(ask, host):
    assert ask.client.get("/", headers={"Host": host}).status_code == 400
    assert ask(wav(), headers={**BODY, "Host": host}).status_code == 400


def test_other_pages_get_no_permission(ask):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = ask.client.options("/moments", headers=asked)
    assert response.status_code == 405
    assert "access-control-allow-origin" not in response.headers
    assert ask.client.get("/moments").status_code == 405


def test_the_page_names_models_protocol_stand_ins_and_their_sounds(ask, demo, monkeypatch):
    monkeypatch.setattr(type(demo.models[0]), "known_sounds", lambda _: {"tiny": ("bell", "<b>")})
    response = ask.client.get("/")
    assert response.headers["x-frame-options"] == "DENY"
    text = response.text
    for line in (
        f"toy, soup, of {demo.models[0].folder}",
        "Protocol tiny: For tests.",
        "Stand-ins: one-hot stands in for absent. A stand-in recognises only the sounds it was trained on.",
        "Sounds known to tiny, and no others: bell, &lt;b&gt;.",
    ):
        assert f"<p>{line}</p>" in text
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy
    assert policy.endswith("; connect-src 'self'")


def test_only_known_suffixes_become_part_of_a_path(demo, uploads, monkeypatch):
    paths = []
    monkeypatch.setattr(Demo, "answer", lambda _, question, file: paths.append(file.name) or {})
    client = testclient.TestClient(demo_app(demo), "http://localhost")
    for name in ("a.WAV", "a.sh", "a", "a.wav .."):
        client.post("/moments", params={"name": name, "sentence": "b"}, content=b"", headers=BODY)
    assert paths == ["recording.wav", "recording", "recording", "recording"]


def test_weights_that_are_gone_are_named_before_the_page_is_opened(soup_run, tmp_path):
    with pytest.raises(RunError, match="the weights of 'seed 0' are not there"):
        Demo([open_run(soup_run.folder, REGISTRY, member="seed 0", cache=tmp_path)], 5).load()
    Demo([open_run(soup_run.folder, REGISTRY)], 5).load()


def test_only_this_machine_reaches_the_page():
    with listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        port = listener.getsockname()[1]
        with pytest.raises(RunError) as error:
            listening(port)
    assert str(error.value) == (
        f"port {port} of 127.0.0.1 cannot be used (Address already in use). Name another one with --port."
    )


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_the_demo_needs_packages(monkeypatch, name):
    monkeypatch.setattr(demo_server, "find_spec", lambda own: None if own == name else object())
    with pytest.raises(DataError) as error:
        listening(0)
    assert str(error.value) == (
        f"the demo needs the package {name}. Install it with 'pip install amrbench[demo]'."
    )


def test_the_command_serves_the_newest_run(soup_run, monkeypatch, amrbench):
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)
    monkeypatch.chdir(soup_run.folder.parents[1])
    served = []
    monkeypatch.setattr(demo_server, "serve", lambda demo, listener: served.append((demo, listener)))
    code, out, _ = amrbench("demo", "--port", 0, "--top", 3)
    ((demo, listener),) = served
    assert code == 0
    assert out == f"http://127.0.0.1:{listener.getsockname()[1]} shows the page until Ctrl-C.\n"
    assert (demo.top, demo.models[0].folder.name) == (3, soup_run.folder.name)
    listener.close()


def test_a_question_is_what_was_asked():
    assert Question.of(["ä ü.wav"], ["a", "b"]) == Question("ä ü.wav", ("a", "b"))
    with pytest.raises(DataError, match="no usable name"):
        Question.of(["a", "b"], ["a"])
