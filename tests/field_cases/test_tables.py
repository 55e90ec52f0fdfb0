"""Tables, label files and JSON as programs and people write them: read, told in a note, or refused by "
"name."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.folders import ROOT

BARK = ["street", "bark", [[0.5, 2.5]]]
DOG = ["v", "a dog", [[1.5, 3.5]]]
LABEL = "0.5\t2.5\tbark\n"
HEADER = "vid,query,start,end,duration\n"
SEMICOLONS = HEADER.replace(",", ";")
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
SELECTION = "1\tWaveform 1\t1\t0.5\t2.5\t0\t8000"
LATER = SELECTION.replace("\t0.5\t2.5", "\t60.5\t62.5")
CASTELLA = [{"yid": "v", "duration": 60, "moments": [{"local_caption": "a dog", "timestamps": [[1.5, 3.5]]}]}]
TRUTH = {"qid": "a", "query": "a tone", "vid": "v", "duration": 12, "relevant_windows": [[1, 4]]}
PREDICTION = {"qid": "a", "vid": "v", "pred_relevant_windows": [[1, 4, 0.9]]}
MARK = "\ufeff"


def case(name, *arguments):
    return pytest.param(*arguments, id=name)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, data):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def queries_in(path):
    """Return vid, query and windows of the queries in a file."""
    rows = map(json.loads, Path(path).read_text().splitlines())
    return [[row["vid"], row["query"], row["relevant_windows"]] for row in rows]


def check(result, queries, words):
    """Check code and output of a conversion; words are those of notes, or of the refusal if there are no "
    "queries."""
    code, out, err = result
    assert (code, out) == (0 if queries else 2, "out.jsonl: 1 queries\n" if queries else "")
    assert err.startswith("note: " if queries else "error: ") if words else err == ""
    assert [word for word in words if word not in err] == []
    assert Path("out.jsonl").exists() == bool(queries)
    if queries:
        assert queries_in("out.jsonl") == queries


@pytest.mark.parametrize(
    ("name", "data", "queries", "words"),
    [
        case(
            "001-audacity-decimal-comma",
            *("street.txt", "0,500000\t2,500000\tbark\n", [BARK], ["street.txt, line 1: decimal commas are"]),
        ),
        case(
            "002-audacity-label-without-text",
            *(
                "street.txt",
                "0.000000\t2.728952\n2.7\t8.2\n",
                [],
                ["line 1: the label has no text", "line 2: the"],
            ),
        ),
        case(
            "004-audacity-doubled-extension",
            *(
                "street.txt.txt",
                LABEL,
                [BARK],
                ["street.txt.txt (for 'street'): the end of its name is left out"],
            ),
        ),
        case(
            "005-audacity-no-extension",
            "street",
            LABEL,
            [],
            ["labels: has no label files (*.txt); it has 'street'"],
        ),
        case("006-audacity-upper-TXT", "street.TXT", LABEL, [BARK], []),
        case(
            "009-audacity-point-label",
            *("street.txt", "2.500000\t2.500000\tbark\n", [["street", "bark", [[2.5, 2.5]]]]),
            ["street.txt, line 1: the moment has no length"],
        ),
        case(
            "011-audacity-line-separator",
            *("street.txt", "0.5\t2.5\tdog\u2028barks\n", [["street", "dog\u2028barks", [[0.5, 2.5]]]], []),
        ),
        case(
            "audacity-next-line-and-form-feed",
            *("street.txt", "0.5\t2.5\ta\x85b\fc\n", [["street", "a\x85b\fc", [[0.5, 2.5]]]], []),
        ),
        case(
            "audacity-frequencies",
            *(
                "street.txt",
                f"{LABEL}\\\t100.0\t2000.0\n",
                [BARK],
                ["line 2: frequencies of labels are not read"],
            ),
        ),
        case(
            "audacity-utf-16",
            "street.txt",
            LABEL.encode("utf-16"),
            [BARK],
            ["is UTF-16 text and is read as such"],
        ),
        case("audacity-carriage-returns", "street.txt", f"{MARK}{LABEL}".replace("\n", "\r"), [BARK], []),
        case(
            "audacity-latin-1",
            "street.txt",
            b"0.5\t2.5\tb\xe4r\n",
            [],
            ["the byte 0xe4", "'ä' in Windows-1252"],
        ),
        case(
            "audacity-spaces",
            "street.txt",
            "0.5 2.5 bark\n",
            [],
            ["line 1: has 1 cell, not start, end and text"],
        ),
        case(
            "audacity-tab-in-text",
            "street.txt",
            "0.5\t2.5\ta\tb\n",
            [],
            ["line 1: has 4 cells, not start, end"],
        ),
        case(
            "audacity-mixed-marks", "street.txt", "0,5\t2.5\tbark\n", [], ["Write all decimals with points"]
        ),
        case("audacity-negative", "street.txt", "-0.5\t2.5\tbark\n", [], ["line 1: start is -0.5, before"]),
        case("audacity-named-like-audio", "street.wav.txt", LABEL, [BARK], []),
        case("audacity-other-recording", "steet.txt", LABEL, [], ["there is no recording 'steet' in rec"]),
        case(
            "audacity-after-the-end",
            "street.txt",
            "8\t9\tbark\n",
            [["street", "bark", [[8, 9]]]],
            ["not inside its"],
        ),
        case(
            "audacity-subtitles",
            "street.srt",
            "1\n00:00:00,500 --> 00:00:02,500\n",
            [],
            ["it has 'street.srt'"],
        ),
        case(
            "012-raven-selection-table",
            "street.txt",
            f"{RAVEN}\tAnnotation\n{SELECTION}\tbark\n" * 1,
            [BARK],
            [],
        ),
        case(
            "raven-several-views",
            "street.Table.1.selections.txt",
            f"{RAVEN}\tAnnotation\n{SELECTION}\tbark\n{SELECTION.replace('Waveform', 'Spectrogram')}\tbark\n",
            *([BARK], ["(for 'street'): the end of its name"]),
        ),
        case(
            "raven-views-that-differ",
            *("street.txt", f"{RAVEN}\tAnnotation\n{SELECTION}\tbark\n{SELECTION}\tmeow\n", []),
            ["line 3: selection 1 differs from that on line 2"],
        ),
        case(
            "raven-begin-file-and-comma",
            *(
                "x.txt",
                f"{RAVEN}\tAnnotation\tBegin File\n{SELECTION}\tbark\tstreet.wav\n".replace(
                    "0.5\t2.5", "0,5\t2,5"
                ),
            ),
            *([BARK], ["x.txt, line 2: decimal commas are read"]),
        ),
        case(
            "raven-birdnet",
            "x.BirdNET.selection.table.txt",
            f"{RAVEN}\tCommon Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
            f"{LATER}\tbark\tx\t0.9\tC:\\a b\\street.wav\t0.5\n",
            *([BARK], ["sentences are read from the column 'Common Name', not from 'Species Code'"]),
        ),
        case(
            "raven-without-annotation",
            "street.txt",
            f"{RAVEN}\n{SELECTION}\n",
            [],
            ["has no column of annotations"],
        ),
        case(
            "raven-blank-annotation",
            "street.txt",
            f"{RAVEN}\tAnnotation\n{SELECTION}\t\n",
            [],
            ["label has no text"],
        ),
    ],
)
def test_label_files(amrbench, name, data, queries, words):
    write("rec/street.wav", b"")
    soundfile.write("rec/street.wav", np.full(6000, 0.1), 1000)
    write(f"labels/{name}", data)
    result = amrbench("data", "convert", "labels", "-o", "out.jsonl", "--audio", "rec")
    check(result, queries, words)


def test_010_audacity_appledouble(amrbench):
    write("labels/street.txt", LABEL)
    write("labels/._street.txt", b"\0\5\x16\7\0\2\0\0Mac OS X")
    write("rec/street.wav", b"")
    soundfile.write("rec/street.wav", np.full(6000, 0.1), 1000)
    write("rec/._street.wav", b"\0\5\x16\7\0\2\0\0Mac OS X")
    check(amrbench("data", "convert", "labels", "-o", "out.jsonl", "--audio", "rec"), [BARK], [])


@pytest.mark.parametrize(
    ("name", "data", "queries", "words"),
    [
        case(
            "013-csv-excel-semicolon",
            *(
                "a.csv",
                f"{SEMICOLONS}v;a dog;1,5;3,5;60\n",
                [DOG],
                ["a.csv, line 2: decimal commas are read"],
            ),
        ),
        case("014-csv-header-spaces", "a.csv", f"{HEADER}v,a dog,1.5,3.5,60\n".replace(",", ", "), [DOG], []),
        case("015-csv-tab-separated", "a.csv", f"{HEADER}v,a dog,1.5,3.5,60\n".replace(",", "\t"), [DOG], []),
        case("csv-tab-separated-txt", "a.txt", f"{HEADER}v,a dog,1.5,3.5,60\n".replace(",", "\t"), [DOG], []),
        case("csv-upper-TSV", "a.TSV", f"{HEADER.upper()}v,a dog,1.5,3.5,60\n".replace(",", "\t"), [DOG], []),
        case("csv-byte-order-mark", "a.csv", f"{MARK}{HEADER}v,a dog,1.5,3.5,60\r\n", [DOG], []),
        case(
            "csv-utf-16", "a.csv", f"{HEADER}v,a dog,1.5,3.5,60\n".encode("utf-16"), [DOG], ["is UTF-16 text"]
        ),
        case(
            "csv-latin-1",
            "a.csv",
            f"{HEADER}v,caf\xe9,1,2,60\n".encode("latin-1"),
            [],
            ["line 2: the byte 0xe9"],
        ),
        case("csv-gz", "a.csv.gz", gzip.compress(f"{HEADER}v,a dog,1.5,3.5,60\n".encode()), [DOG], []),
        case("csv-excel-separator", "a.csv", f"sep=;\n{SEMICOLONS}v;a dog;1.5;3.5;60\n", [DOG], []),
        case(
            "csv-quoted-header",
            "a.csv",
            '"vid","query","start","end","duration"\nv,a dog,1.5,3.5,60\n',
            [DOG],
            [],
        ),
        case("csv-blank-rows", "a.csv", f"{HEADER}\n,,,,\nv,a dog,1.5,3.5,60\n", [DOG], []),
        case(
            "csv-trailing-separators",
            "a.csv",
            "vid;query;start;end;duration;;\nv;a dog;1.5;3.5;60;;\n",
            [DOG],
            [],
        ),
        case(
            "csv-pandas-index",
            *(
                "a.csv",
                f",{HEADER}0,v,a dog,1.5,3.5,60\n",
                [DOG],
                ["line 2: cells in columns without a name are"],
            ),
        ),
        case(
            "csv-further-columns",
            *(
                "a.csv",
                f"note,{HEADER}x,v,a dog,1.5,3.5,60\n",
                [DOG],
                ["a.csv: the columns 'note' are not read"],
            ),
        ),
        case(
            "csv-stray-cell",
            *(
                "a.csv",
                f"{HEADER}v,a dog, barking,1,2,60\n",
                [],
                ['line 2: has the cell "60" under no column'],
            ),
        ),
        case(
            "csv-short-row",
            "a.csv",
            f"{HEADER}v,a dog,1,2\n",
            [],
            ["line 2: has 4 of 5 cells, separated by commas"],
        ),
        case(
            "csv-open-quote",
            "a.csv",
            f'{HEADER}v,"a dog,1,2,60\nv,a,3,4,60\n',
            [],
            ["line 2: the quotation marks"],
        ),
        case(
            "csv-other-header",
            *("a.tsv", "filename\tonset\toffset\tevent_label\n", []),
            ["a.tsv: has no column vid, query, start, end, duration", "Rename 'filename' to 'vid'"],
        ),
        case(
            "csv-misspelt-header",
            "a.csv",
            "vid,query,strat,end,duration\n",
            [],
            ["Rename 'strat' to 'start'"],
        ),
        case(
            "csv-repeated-header",
            "a.csv",
            "vid,query,start,end,duration,Start\n",
            [],
            ["columns 'start' and 'Start'"],
        ),
        case(
            "017-csv-line-number",
            *(
                "a.csv",
                f'{HEADER}v,"a dog\nbarks",1.5,3.5,60\n\nv,a cat,x,3.5,60\n',
                [],
                ["line 5: start is"],
            ),
        ),
        case(
            "019-csv-nfd-nfc",
            *("a.csv", f"{HEADER}ch\xe2teau,a dog,1,2,60\ncha\u0302teau,a dog,5,6,60\n"),
            [["ch\xe2teau", "a dog", [[1, 2], [5, 6]]]],
            ["line 3, vid 'ch\xe2teau': is spelled with composed and with decomposed letters"],
        ),
        case(
            "021-csv-vid-with-suffix",
            "a.csv",
            f"{HEADER}v.wav,a dog,1.5,3.5,60\n",
            [DOG],
            ["line 2, vid 'v.wav'"],
        ),
        case(
            "csv-vid-with-folder",
            "a.csv",
            f"{HEADER}x/v.MP3,a dog,1.5,3.5,60\n",
            [DOG],
            ["line 2, vid 'x/v.MP3'"],
        ),
        case(
            "csv-two-suffixes",
            "a.csv",
            f"{HEADER}v.wav,a,1,2,9\nv.mp3,b,1,2,9\n",
            [],
            ["line 3: vid 'v.mp3' and"],
        ),
        case(
            "022-csv-underscore-number",
            "a.csv",
            f"{HEADER}v,a dog,1_0,35,60\n",
            [],
            ['line 2: start is "1_0"'],
        ),
        case(
            "csv-nan",
            "a.csv",
            f"{HEADER}v,a dog,nan,35,60\n",
            [],
            ['start is "nan", not a number of seconds'],
        ),
        case(
            "csv-inf", "a.csv", f"{HEADER}v,a dog,1,inf,60\n", [], ['end is "inf", not a number of seconds']
        ),
        case("csv-full-width-digit", "a.csv", f"{HEADER}v,a dog,\uff11,2,60\n", [], ["line 2: start is"]),
        case(
            "csv-minutes",
            "a.csv",
            f"{HEADER}v,a dog,1:30,2,600\n",
            [],
            ["Write minutes as seconds: 90 for 1:30"],
        ),
        case(
            "csv-thousands",
            "a.csv",
            f"{SEMICOLONS}v;a dog;1,500;2,500;3,600\n",
            [],
            ["decimals or thousands"],
        ),
        case(
            "csv-end-before-start",
            "a.csv",
            f"{HEADER}v,a dog,5,2,60\n",
            [],
            ["line 2: end is 2, before the start"],
        ),
        case(
            "023-csv-two-durations",
            "a.csv",
            f"{HEADER}v,a,1,2,60\nv,a,5,6,60.5\n",
            [],
            ["line 3: the duration of"],
        ),
        case(
            "csv-same-window-twice",
            *("a.csv", f"{HEADER}v,a dog,1.5,3.5,60\nv,a dog,1.50,3.5,60\n", [DOG]),
            ["line 3 (as line 2): the window of the query is there already"],
        ),
        case(
            "csv-qid-float",
            "a.csv",
            f"qid,{HEADER}7.0,v,a dog,1,2,60\n",
            [],
            ['line 2: qid is "7.0", a decimal'],
        ),
        case("csv-excel-file", "a.xlsx", b"PK\3\4" + bytes(40), [], ["Excel", "save tables as CSV"]),
        case("csv-web-page", "a.csv", "<!DOCTYPE html><html>", [], ["a.csv: is a web page"]),
        case("028-castella-json-bom", "a.json", MARK + json.dumps(CASTELLA), [DOG], []),
        case("castella-json-gz", "a.json.gz", gzip.compress(json.dumps(CASTELLA).encode()), [DOG], []),
        case(
            "castella-json-lines",
            "a.json",
            json.dumps(TRUTH) + "\n{}\n",
            [],
            ["is JSON Lines, not one JSON list"],
        ),
        case(
            "castella-json-key-twice",
            "a.json",
            '[{"yid": "a", "yid": "b"}]',
            [],
            ['the key "yid" occurs twice'],
        ),
    ],
)
def test_tables(amrbench, name, data, queries, words):
    write(name, data)
    check(amrbench("data", "convert", name, "-o", "out.jsonl"), queries, words)


def lines(*rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


PRETTY = json.dumps(PREDICTION, indent=1)


@pytest.mark.parametrize(
    ("predictions", "truth", "words"),
    [
        case("040-jsonl-bom", MARK + lines(PREDICTION), MARK + lines(TRUTH), []),
        case(
            "045-gz-predictions",
            gzip.compress(lines(PREDICTION).encode()),
            gzip.compress(lines(TRUTH).encode()),
            [],
        ),
        case(
            "jsonl-utf-16",
            lines(PREDICTION).encode("utf-16"),
            lines(TRUTH),
            ["note: pred: is UTF-16 text and is"],
        ),
        case(
            "jsonl-carriage-returns",
            lines(PREDICTION).replace("\n", "\r\n"),
            lines(TRUTH).replace("\n", "\r"),
            [],
        ),
        case(
            "043-json-array",
            json.dumps([PREDICTION], indent=1),
            lines(TRUTH),
            ["error: pred: is one JSON array"],
        ),
        case(
            "json-array-on-one-line",
            json.dumps([PREDICTION]),
            lines(TRUTH),
            ["error: pred: is one JSON array"],
        ),
        case(
            "json-array-as-truth", lines(PREDICTION), json.dumps([TRUTH]), ["error: truth: is one JSON array"]
        ),
        case(
            "json-array-of-castella",
            lines(PREDICTION),
            json.dumps(CASTELLA),
            ["with 'amrbench data convert'"],
        ),
        case(
            "json-over-several-lines",
            f"{PRETTY}\n{PRETTY}",
            lines(TRUTH),
            ["error: pred:1: the JSON goes on over"],
        ),
        case(
            "json-key-twice",
            '{"qid": "a", "qid": "b"}',
            lines(TRUTH),
            ['error: pred:1: the key "qid" occurs twice'],
        ),
        case(
            "json-nan",
            lines({**PREDICTION, "qid": float("nan")}),
            lines(TRUTH),
            ['error: pred:1: "qid" is NaN'],
        ),
        case(
            "047-qid-float-from-pandas",
            *(lines({**PREDICTION, "qid": 7.0}), lines({**TRUTH, "qid": 7})),
            ['error: pred:1: "qid" is 7.0, not text or a whole number'],
        ),
        case(
            "jsonl-table",
            f"{HEADER}v,a,1,2,3\n",
            lines(TRUTH),
            ["error: pred:1: not JSON", "amrbench data convert"],
        ),
        case(
            "jsonl-conflict",
            f"<<<<<<< HEAD\n{lines(PREDICTION)}",
            lines(TRUTH),
            ['pred:1: not JSON ("<<<<<<< HEAD")'],
        ),
        case(
            "jsonl-zip", b"PK\3\4" + bytes(40), lines(TRUTH), ["error: pred: is a ZIP archive", "Unpack it"]
        ),
        case(
            "jsonl-latin-1",
            b'{"qid": "\xe9"}\n',
            lines(TRUTH),
            ["error: pred, line 1: the byte 0xe9 is not UTF-8"],
        ),
        case(
            "gz-cut-off",
            gzip.compress(lines(PREDICTION).encode())[:-9],
            lines(TRUTH),
            ["is a damaged gzip file"],
        ),
        case(
            "gz-bomb",
            gzip.compress(bytes(20_000_001), 1),
            lines(TRUTH),
            ["unpacks to more than 20,000,000 bytes"],
        ),
    ],
)
def test_json_lines(amrbench, predictions, truth, words):
    write("pred", predictions)
    write("truth", truth)
    code, out, err = amrbench("score", "pred", "--truth", "truth", "--json")
    assert code == (2 if "error" in err else 0)
    assert [word for word in words if word not in err] == []
    assert bool(err) == bool(words)
    if not code:
        scored = json.loads(out)
        assert scored["metrics"]["R1@0.5"] == 100
        assert [f"note: {note}\n" for note in scored["notes"]] == err.splitlines(keepends=True)


def test_output_is_not_compressed_by_its_name(amrbench):
    write("a.csv", f"{HEADER}v,a dog,1.5,3.5,60\n")
    assert amrbench("data", "convert", "a.csv", "-o", "out.jsonl.gz") == (
        *(2, ""),
        "error: out.jsonl.gz: files are written without compression. Leave out .gz.\n",
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        case(
            "416-fuse-scale-differs",
            (90.0, 0.9),
            ["note: a.jsonl: has scores up to 90, and b.jsonl up to 0.9"],
        ),
        case(
            "fuse-logits-and-probabilities", (0.9, 3.5), ["note: b.jsonl: has scores up to 3.5, and a.jsonl"]
        ),
        case(
            "fuse-small-scores", (0.9, 0.01), ["note: a.jsonl: has scores up to 0.9, and b.jsonl up to 0.01"]
        ),
        case("fuse-one-scale", (0.9, 0.4), []),
    ],
)
def test_scores_of_an_ensemble(amrbench, scores, words):
    for name, score in zip("ab", scores, strict=True):
        write(f"{name}.jsonl", lines({**PREDICTION, "pred_relevant_windows": [[1, 4, score]]}))
    code, _, err = amrbench("fuse", "a.jsonl", "b.jsonl", "-o", "f.jsonl")
    assert code == 0
    assert [word for word in words if word not in err] == []
    assert err.count("note: ") == len(words)


RECIPE = (ROOT / "recipes" / "cgdetr.yaml").read_text()
HEADS = next(line.strip() for line in RECIPE.splitlines() if line.startswith("  heads: "))
WIDTH_LINE = RECIPE.splitlines().index("  width: 256") + 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        case(
            "304-yaml-nbsp",
            "  width: 256",
            "\xa0 width: 256",
            [f"line {WIDTH_LINE}", "NO-BREAK SPACE (U+00A0)"],
        ),
        case("yaml-nbsp-after-colon", "width: 256", "width:\xa0256", ["NO-BREAK SPACE (U+00A0)"]),
        case(
            "yaml-nbsp-before-value",
            "width: 256",
            "width: \xa0256",
            [f"line {WIDTH_LINE}", "this value has the character NO-BREAK"],
        ),
        case(
            "yaml-zero-width-space",
            "  width: 256",
            "  width\u200b: 256",
            ["this key has the character ZERO WIDTH SPACE (U+200B)"],
        ),
        case("yaml-tab", "  width: 256", "\twidth: 256", ["Indent with spaces, not with tabs"]),
        case(
            "307-yaml-merge-markers",
            *("  width: 256", "<<<<<<< HEAD\n  width: 256\n=======\n  width: 128\n>>>>>>> other"),
            [f"line {WIDTH_LINE}", "<<<<<<< is left from a conflict in git"],
        ),
        case(
            "320-yaml-list-as-scalar",
            HEADS,
            "heads: spans",
            ["must be a list, such as [spans], not 'spans'"],
        ),
        case(
            "yaml-list-as-mapping",
            HEADS,
            "heads: {use: spans}",
            ["must be a list; begin each of its items"],
        ),
        case("yaml-list-as-nothing", HEADS, "heads:", ["must be a list; write [] for an empty one"]),
    ],
)
def test_recipes(amrbench, old, new, words):
    assert old in RECIPE
    write("r.yaml", RECIPE.replace(old, new))
    code, _, err = amrbench("check", "r.yaml")
    assert code == 2
    assert [word for word in words if word not in err] == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        case("yaml-utf-16", RECIPE.encode("utf-16-le"), ["r.yaml: is UTF-16 text without a byte order mark"]),
        case("yaml-latin-1", b"name: caf\xe9\n", ["r.yaml, line 1: the byte 0xe9 is not UTF-8"]),
    ],
)
def test_recipes_in_other_encodings(amrbench, data, words):
    write("r.yaml", data)
    code, _, err = amrbench("check", "r.yaml")
    assert code == 2
    assert [word for word in words if word not in err] == []
