import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations
from amrbench.notes import Note
from amrbench.tools.convert_annotations import convert, form_of
from amrbench.types import Query


def entry(**changes):
    moments = [
        {"local_caption": "a dog", "timestamps": [[5, 7], [1, 2]]},
        {"local_caption": "ein Hörn", "timestamps": [[0, 3]]},
    ]
    return {
        "yid": "-x",
        "global_caption": "a street",
        "duration": 60,
        "num_moments": 2,
        "moments": moments,
    } | changes


def moment(**changes):
    """Return JSON with one moment."""
    return json.dumps([entry(moments=[{"local_caption": "a dog", "timestamps": [[1, 2]]} | changes])])


def refusal(source, **options):
    with pytest.raises(DataError) as error:
        convert(source, source.parent / "out.jsonl", **options)
    assert not (source.parent / "out.jsonl").exists()
    return str(error.value)


def test_castella_json_keeps_windows_in_their_order(tmp_path):
    (tmp_path / "test.json").write_text(json.dumps([entry()]))
    assert convert(tmp_path / "test.json", tmp_path / "out.jsonl") == 2
    assert read_annotations(tmp_path / "out.jsonl") == [
        Query("-x_1", "a dog", "-x", 60.0, ((5.0, 7.0), (1.0, 2.0)), {}),
        Query("-x_2", "ein Hörn", "-x", 60.0, ((0.0, 3.0),), {}),
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{broken", "cannot be read as JSON ("),
        ("{}", "is not a list of recordings, as in CASTELLA."),
        ("[]", "has no queries."),
        (
            json.dumps([{"yid": "a"}]),
            "entry 1 is not as in CASTELLA (KeyError: 'duration'): it needs yid, duration and",
        ),
        (json.dumps([entry(), entry(moments=[3])]), "entry 2 is not as in CASTELLA (TypeError: "),
        (json.dumps([entry(yid=None)]), "(TypeError: yid is null, not text)"),
        (json.dumps([entry(yid=7)]), "(TypeError: yid is 7, not text)"),
        (json.dumps([entry(duration=True)]), "(TypeError: duration is true, not a number of seconds)"),
        (json.dumps([entry(duration="60")]), '(TypeError: duration is "60", not a number of seconds)'),
        (json.dumps([entry(duration=10**400)]), "(TypeError: duration is 1000"),
        (json.dumps([entry(duration=math.nan)]), "(TypeError: duration is NaN, not a number of seconds)"),
        ('[{"yid": "a", "duration": ' + 5000 * "1" + "}]", "cannot be read as JSON (Exceeds the limit"),
        (100_000 * "[", "cannot be read as JSON (maximum recursion depth exceeded"),
        (moment(local_caption=None), "(TypeError: local_caption is null, not text)"),
        (moment(local_caption=["x"]), '(TypeError: local_caption is ["x"], not text)'),
        (moment(timestamps=["12"]), '(TypeError: timestamps contain "12", not [start, end])'),
        (moment(timestamps=[[1, False]]), "(TypeError: end is false, not a number of seconds)"),
        (moment(timestamps=[[1]]), "(TypeError: timestamps contain [1], not [start, end])"),
        (
            json.dumps([entry(yid="../../etc")]),
            "query '../../etc_1' ('a dog' about '../../etc'): id \"../../etc\" cannot be the name of a file",
        ),
    ],
)
def test_json_that_is_not_castella(tmp_path, content, text):
    (tmp_path / "a.json").write_text(content)
    message = refusal(tmp_path / "a.json")
    assert message.startswith(f"{tmp_path}/a.json: ")
    assert text in message


def test_csv_rows_of_one_query_are_joined(tmp_path):
    (tmp_path / "a.csv").write_text(
        'vid,query,start,end,duration\na,a dog,5,6.5,60\na,a cat,1,2,60\na,a dog,1,2,60\nb,"a, b",0,1,30\n',
        "utf-8-sig",
    )
    assert convert(tmp_path / "a.csv", tmp_path / "out.jsonl") == 3
    assert read_annotations(tmp_path / "out.jsonl") == [
        Query("a_1", "a dog", "a", 60.0, ((1.0, 2.0), (5.0, 6.5)), {}),
        Query("a_2", "a cat", "a", 60.0, ((1.0, 2.0),), {}),
        Query("b_1", "a, b", "b", 30.0, ((0.0, 1.0),), {}),
    ]


def test_csv_may_name_its_queries(tmp_path):
    (tmp_path / "a.csv").write_text("qid,vid,query,start,end,duration\nq9,a,a dog,5,6,60\n")
    convert(tmp_path / "a.csv", tmp_path / "out.jsonl")
    assert read_annotations(tmp_path / "out.jsonl")[0].qid == "q9"


def test_csv_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("vid,query\n")
    assert refusal(path) == (
        f"{path}: has no column start, end, duration. It needs vid, query, start, end and duration, and may "
        "have qid; duration may be left out if --audio names the folder of the recordings. Its columns are "
        "'vid', 'query'."
    )
    path.write_text("vid,query,start,end,duration\na,a dog,x,2,60\n")
    assert refusal(path) == f'{path}, line 2: start is "x", not a number of seconds.'
    path.write_bytes(b"\xff\xfe\xfa")
    assert refusal(path) == f"{path}: is damaged UTF-16 text (truncated data). Save it as UTF-8."


def test_an_output_that_may_have_been_corrected_is_not_replaced(tmp_path):
    source, output = tmp_path / "a.csv", tmp_path / "out.jsonl"
    source.write_text("vid,query,start,end,duration\na,a dog,1,2,60\n")
    output.touch()
    assert convert(source, output) == 1, "an empty file is filled"
    before = output.read_bytes()
    with pytest.raises(DataError) as error:
        convert(source, output)
    assert str(error.value) == (
        f"{output}: is there already, and may have been corrected by hand. Name a new or empty file with "
        "--output, or move this one away."
    )
    assert output.read_bytes() == before


def test_a_wrong_source_leaves_no_output(tmp_path):
    source, output = tmp_path / "a.csv", tmp_path / "out.jsonl"
    header = "qid,vid,query,start,end,duration\n"
    source.write_text(f"{header}q1,a,a dog,5,2,60\nq2,b,,0,1,nan\nq3,c,a cat,0,1,9\nq3,c,a cow,0,1,9\n")
    with pytest.raises(DataError) as error:
        convert(source, output)
    assert str(error.value) == f'{source}, line 3: duration is "nan", not a number of seconds.'
    source.write_text(f"{header}q1,a,a dog,5,2,60\nq2,b,,0,1,9\nq3,c,a cat,0,1,9\nq3,c,a cow,0,1,9\n")
    with pytest.raises(DataError) as error:
        convert(source, output)
    assert str(error.value).splitlines() == [
        f"{source}, line 2: end is 2, before the start, 5.",
        f"{source}, line 3: the label has no text. Write the sentence that describes the moment.",
        f"{source}, line 5: the qid 'q3' is that of another query on line 4. Give each its own.",
    ]
    assert not output.exists()


def test_nothing_is_read_for_an_output_that_cannot_be_written(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("nothing")
    for output, text in (
        (tmp_path, "is a folder. Name a file for the output."),
        (
            tmp_path / "no" / "a.jsonl",
            f"there is no folder '{tmp_path}/no'. Make it, or choose another path.",
        ),
    ):
        with pytest.raises(DataError) as error:
            convert(source, output)
        assert str(error.value) == f"{output}: {text}"


@pytest.mark.parametrize("spelled", ["a.csv", "in/../a.csv", "link.csv"])
def test_a_source_is_not_replaced(tmp_path, spelled):
    source = tmp_path / "a.csv"
    source.write_text("vid,query,start,end,duration\na,a dog,1,2,60\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "link.csv").symlink_to(source)
    before = source.read_bytes()
    with pytest.raises(DataError) as error:
        convert(source, tmp_path / spelled)
    assert str(error.value) == (
        f"{tmp_path}/{spelled}: is an input, so it cannot be the output. Name another output."
    )
    assert source.read_bytes() == before


def labels(tmp_path, text, name="street"):
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "labels" / f"{name}.txt").write_text(text)
    (tmp_path / "audio").mkdir(exist_ok=True)
    soundfile.write(tmp_path / "audio" / "street.flac", np.zeros(80000), 8000)
    return tmp_path / "labels"


def test_audacity_labels(tmp_path):
    folder = labels(tmp_path, "1.5\t2.5\ta dog\n4\t5\ta dog\n\n6\t7\ta cat\n")
    assert convert(folder, tmp_path / "out.jsonl", audio=tmp_path / "audio") == 2
    assert read_annotations(tmp_path / "out.jsonl") == [
        Query("street_1", "a dog", "street", 10.0, ((1.5, 2.5), (4.0, 5.0)), {}),
        Query("street_2", "a cat", "street", 10.0, ((6.0, 7.0),), {}),
    ]


def test_raven_selection_tables(tmp_path):
    header = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation\n"
    folder = labels(tmp_path, f"{header}1\tWaveform\t1.5\t2.5\ta dog\n1\tSpectrogram\t1.5\t2.5\ta dog\n")
    for source, output in ((folder, tmp_path / "1.jsonl"), (folder / "street.txt", tmp_path / "2.jsonl")):
        assert convert(source, output, audio=tmp_path / "audio") == 1
        assert read_annotations(output) == [Query("street_1", "a dog", "street", 10.0, ((1.5, 2.5),), {})]


def test_durations_come_from_recordings_where_a_table_has_none(tmp_path):
    folder = labels(tmp_path, "vid;query;start;end\nstreet;a dog;1,5;2\n", "table")
    with pytest.warns(Note, match=r"table\.txt, line 2: decimal commas are read as decimal points\."):
        convert(folder / "table.txt", tmp_path / "out.jsonl", audio=tmp_path / "audio")
    assert read_annotations(tmp_path / "out.jsonl") == [
        Query("street_1", "a dog", "street", 10.0, ((1.5, 2.0),), {})
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_recordings_that_are_not_needed_get_a_note(tmp_path, name):
    text = json.dumps([entry()]) if name == "a.json" else "vid,query,start,end,duration\na,a dog,1,2,60\n"
    (tmp_path / name).write_text(text)
    with pytest.warns(Note) as notes:
        convert(tmp_path / name, tmp_path / "out.jsonl", audio=tmp_path / "rec")
    assert [str(note.message) for note in notes] == [
        f"{tmp_path}/{name}: has durations, so the recordings in {tmp_path}/rec are not read."
    ]


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.JSON", "[]", "castella"),
        ("a.json.gz", "[]", "castella"),
        ("a.txt", "VID\tQuery\tstart\n", "csv"),
        ("a", "vid;query;start\n", "csv"),
        ("a.csv", "filename,onset\n", "csv"),
        ("a.TSV", "filename\tonset\n", "csv"),
        ("a.txt", "hello", "audacity"),
        ("a", "0.500000\t2.5\tbark\n", "audacity"),
        ("a.csv", "0,5\t2,5\tbark\n", "audacity"),
        ("a.csv", "Selection,Begin Time (s),End Time (s)\n", "raven"),
        ("a.selections.txt", "Selection\tBegin Time (s)\tEnd Time (s)\n", "raven"),
    ],
)
def test_the_form_is_told_from_content_and_name(name, text, form):
    assert form_of(Path(name), text) == form


def test_label_files_are_not_replaced(tmp_path):
    folder = labels(tmp_path, "1.5\t2.5\ta dog\n")
    with pytest.raises(DataError, match=r"street\.txt: is an input, so it cannot be the output"):
        convert(folder, folder / "street.txt", audio=tmp_path / "audio")
    convert(folder, folder / "out.jsonl", audio=tmp_path / "audio")
    with pytest.warns(Note, match=r"'out\.jsonl' in it are not read"):
        convert(folder, folder / "again.jsonl", audio=tmp_path / "audio")


@pytest.mark.parametrize("source", ["labels", "table.csv"])
def test_recordings_are_not_replaced(tmp_path, source):
    folder = labels(tmp_path, "1.5\t2.5\ta dog\n")
    (tmp_path / "table.csv").write_text("vid,query,start,end\nstreet,a dog,1,2\n")
    (folder.parent / "audio" / "day").mkdir()
    recording = (tmp_path / "audio/street.flac").rename(tmp_path / "audio/day/street.flac")
    before = recording.read_bytes()
    with pytest.raises(DataError) as error:
        convert(tmp_path / source, recording, audio=tmp_path / "audio")
    assert str(error.value) == f"{recording}: is an input, so it cannot be the output. Name another output."
    assert recording.read_bytes() == before
    # Other files may be written beside the recordings.
    assert convert(tmp_path / source, tmp_path / "audio/out.jsonl", audio=tmp_path / "audio") == 1


def test_labels_that_cannot_be_used(tmp_path):
    folder = labels(tmp_path, "1 2 a dog\n")
    audio = tmp_path / "audio"
    assert refusal(folder) == (
        f"{folder}: label files do not contain durations; name the folder of the recordings with --audio."
    )
    assert refusal(folder, audio=audio) == (
        f"{folder}/street.txt, line 1: has 1 cell, not start, end and text, separated by tabs."
    )
    (folder / "street.txt").unlink()
    labels(tmp_path, "1\t2\ta\n", "other")
    assert refusal(folder, audio=audio).startswith(
        f"{folder}/other.txt, line 1: there is no recording 'other' in {audio}."
    )
    assert (
        refusal(folder, audio=audio, form="csv") == f"{folder}: is a folder. Name one file of the form 'csv'."
    )


def test_files_whose_form_is_unknown(tmp_path):
    (tmp_path / "a.xml").write_text("x")
    assert refusal(tmp_path / "a.xml") == (
        f"{tmp_path}/a.xml: its form is not clear from its name or content. Name it with --form: castella, "
        "csv, "
        "audacity, raven."
    )
    assert refusal(tmp_path / "a.xml", form="xml") == (
        "there is no form 'xml'. Use castella, csv, audacity, raven."
    )
    assert refusal(tmp_path / "no.csv") == f"{tmp_path}/no.csv: there is no such file."
    (tmp_path / "a.jsonl").write_text("{}")
    assert refusal(tmp_path / "a.jsonl") == (
        f"{tmp_path}/a.jsonl: is JSON lines by its name, which need no conversion. Name another form with "
        "--form."
    )
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    assert refusal(tmp_path / "a.xlsx") == (
        f"{tmp_path}/a.xlsx: is a ZIP archive (Excel and LibreOffice files are such archives), and not plain "
        "text. Unpack it, or save tables as CSV."
    )
