import pytest

from amrbench.errors import RecipeError
from amrbench.files.yaml_file import parse_yaml, read_yaml


def data(text):
    return parse_yaml(text, "a.yaml").data


BRACES = "'{use: NAME, ...}', and a text with ': ' in quotes."


def refused(text):
    with pytest.raises(RecipeError) as error:
        parse_yaml(text, "a.yaml")
    return str(error.value)


def test_plain_values_read_as_written():
    text = "a: 3\nb: -0.5\nc: 1e-4\nd: true\ne: null\nf: word\ng: [1, two]\nh: {i: {j: .5}}\nk:\n"
    assert data(text) == {
        "a": 3,
        "b": -0.5,
        "c": 1e-4,
        "d": True,
        "e": None,
        "f": "word",
        "g": [1, "two"],
        "h": {"i": {"j": 0.5}},
        "k": None,
    }
    assert isinstance(data("a: 3")["a"], int)


@pytest.mark.parametrize(
    "word",
    [
        "no",
        "yes",
        "on",
        "off",
        "No",
        "True",
        "12:30",
        "0x10",
        "0o17",
        "010",
        "2024-01-02",
        "1_000",
        ".inf",
        ".nan",
        "=",
        "<<x",
    ],
)
def test_words_that_yaml_would_convert_stay_text(word):
    assert data(f"a: {word}") == {"a": word}


def test_a_number_too_large_for_a_float_is_infinite():
    assert data("a: " + "9" * 5000) == {"a": float("inf")}


@pytest.mark.parametrize("quoted", ["'3'", '"3"', "'null'", '"true"'])
def test_quoted_values_are_text(quoted):
    assert data(f"a: {quoted}") == {"a": quoted[1:-1]}


def test_keys_stay_text():
    assert data("1: a\nno: b\nnull: c\n") == {"1": "a", "no": "b", "null": "c"}


def test_every_value_has_a_line():
    document = parse_yaml("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n", "a.yaml")
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "c", 1, "d")) == 5
    assert document.line(("a", "c", 1, "missing")) == 5
    assert document.line(("nowhere",)) == 1


def test_a_repeated_key_is_refused_with_both_lines():
    assert refused("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n") == (
        "a.yaml has 1 mistake\n\n  line 5  b.c  this key is repeated (first on line 3)."
    )


def test_tags_are_refused_and_nothing_is_executed(tmp_path):
    victim = tmp_path / "victim"
    text = f"a: 1\nb: !!python/object/apply:os.mkdir ['{victim}']\n"
    tag = "tag:yaml.org,2002:python/object/apply:os.mkdir"
    mistake = f"  line 2  b  the YAML tag {tag} is refused; write a plain value."
    assert refused(text) == f"a.yaml has 1 mistake\n\n{mistake}"
    assert not victim.exists()


@pytest.mark.parametrize("tagged", ["!mine 3", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]"])
def test_tags_that_make_other_objects_are_refused(tagged):
    tag = tagged.split()[0].replace("!!", "tag:yaml.org,2002:")
    assert f"line 1  a  the YAML tag {tag} is refused" in refused(f"a: {tagged}")


@pytest.mark.parametrize("tagged", ["!!timestamp 2024-01-02", "!!float 12:30", "!!int 0b1", "!!bool no"])
def test_a_tag_of_a_plain_value_does_not_convert_it(tagged):
    assert data(f"a: {tagged}") == {"a": tagged.split()[1]}


def test_a_tagged_key_is_refused():
    assert refused("a:\n  !x b: 1\n") == (
        "a.yaml has 1 mistake\n\n  line 2  a  the YAML tag !x is refused; write a plain value."
    )


def test_an_alias_is_refused():
    assert refused("a: &x {b: 1}\nc: *x\n") == (
        "a.yaml has 1 mistake\n\n  line 2    the alias *x points elsewhere in the file; write the value out."
    )


def test_an_alias_that_loops_is_refused():
    assert refused("a: &a\n  b: *a\n") == (
        "a.yaml has 1 mistake\n\n  line 2    the alias *a points elsewhere in the file; write the value out."
    )


def test_a_merge_key_is_refused():
    assert refused("a: 1\n<<: {b: 2}\n") == (
        "a.yaml has 1 mistake\n\n"
        "  line 2    the YAML tag tag:yaml.org,2002:merge is refused; write a plain value."
    )


def test_aliases_that_grow_beyond_memory_are_refused_at_once():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    assert refused("\n".join(lines)).startswith("a.yaml has 118 mistakes")


def test_deep_nesting_is_refused_not_a_crash():
    assert refused("a: " + "[" * 1200 + "]" * 1200).startswith("a.yaml has 1 mistake\n\n  line 1")


def test_mistakes_are_sorted_by_line_and_aligned():
    assert refused("long_name: !x 1\nb: 1\nb: !y 2\n") == (
        "a.yaml has 3 mistakes\n\n"
        "  line 1  long_name  the YAML tag !x is refused; write a plain value.\n"
        "  line 3  b          this key is repeated (first on line 2).\n"
        "  line 3  b          the YAML tag !y is refused; write a plain value."
    )


def test_a_key_must_be_a_word():
    assert refused("a:\n  [1, 2]: 3\n") == "a.yaml has 1 mistake\n\n  line 2  a  a key must be a word."


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: [1, 2\n", "line 2    this is not YAML: expected ',' or ']', but got '<stream end>'."),
        ("a: 1\n\tb: 2\n", "line 2    this is not YAML: found character '\\t' that cannot start any token."),
        ("a: 1\n---\nb: 2\n", "line 2    this is not YAML: but found another document."),
        ("a: 'x\n", "line 2    this is not YAML: found unexpected end of stream."),
        ("a: \x07\n", "line 1    this is not YAML: "),
    ],
)
def test_other_text_is_refused_with_its_line(text, mistake):
    assert mistake in refused(text)


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("use: x, folder: y", 1, "Put the options in braces: '{use: x, folder: y}'."),
        ("a: 1\nb: use: x\n", 2, f"Put options within a line in braces, {BRACES}"),
        ("a: b: {c: 1}", 1, f"Put options within a line in braces, {BRACES}"),
        (f"use: {'x' * 100}, folder: y", 1, f"Put options within a line in braces, {BRACES}"),
    ],
)
def test_options_within_a_line_are_to_be_put_in_braces(text, line, remedy):
    assert refused(text) == (
        f"a.yaml has 1 mistake\n\n  line {line}    this is not YAML: mapping values are not allowed here. "
        f"{remedy}"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only a remark\n", "---\n"])
def test_an_empty_file_is_refused(text):
    assert refused(text) == "a.yaml has 1 mistake\n\n  line 1    the file is empty."


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError) as error:
        read_yaml(tmp_path / "none.yaml")
    assert str(error.value) == (
        f"{tmp_path}/none.yaml: cannot be read (No such file or directory). Check the path."
    )


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RecipeError, match=r"cannot be read \(Is a directory\)\."):
        read_yaml(tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(RecipeError) as error:
        read_yaml(tmp_path / "a.yaml")
    assert str(error.value) == (
        f"{tmp_path}/a.yaml, line 1: the byte 0xe9 is not UTF-8 text, but 'é' in Windows-1252 (Latin-1). "
        "Save the file as UTF-8."
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a:\n  b: 1\n\u00a0 c: 2\n", 3, "this line has the character NO-BREAK SPACE (U+00A0)"),
        ("a:\n\u3000b: 1\n", 2, "this line has the character IDEOGRAPHIC SPACE (U+3000)"),
        ("\u200ba: 1\n", 1, "this key has the character ZERO WIDTH SPACE (U+200B)"),
        ("a: 1\nb\u00a0: 2\n", 2, "this key has the character NO-BREAK SPACE (U+00A0)"),
        ("a:\u00a01\n", 1, "this value has the character NO-BREAK SPACE (U+00A0)"),
        (
            "a: 1\nb:\u00a02\nc: 3\n",
            3,
            "This line or the one before has the character NO-BREAK SPACE (U+00A0)",
        ),
        ("a: 1\nb: \u00a02\n", 2, "b  this value has the character NO-BREAK SPACE (U+00A0)"),
        ("a: [1, x\u200b]\n", 1, "a.1  this value has the character ZERO WIDTH SPACE (U+200B)"),
        ("a: 1\u2028b: 2\n", 1, "this line has the character LINE SEPARATOR (U+2028)"),
    ],
)
def test_characters_that_cannot_be_seen_are_named(text, line, what):
    message = refused(text)
    assert f"  line {line}  " in message
    assert what in message


def test_text_may_have_any_character():
    assert data("a: b\u00a0c\nd: '\u00a0'\n# \u00a0\n") == {"a": "b\u00a0c", "d": "\u00a0"}


def test_marks_of_a_merge_conflict_are_named():
    assert refused("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n") == (
        "a.yaml has 2 mistakes\n\n"
        "  line 2    <<<<<<< is left from a conflict in git; keep one of the versions.\n"
        "  line 6    >>>>>>> is left from a conflict in git; keep one of the versions."
    )


def test_tabs_are_named():
    assert refused("a: 1\n\tb: 2\n").endswith(
        "found character '\\t' that cannot start any token. Indent with spaces, not with tabs."
    )


def test_a_file_with_a_byte_order_mark_reads_like_any_other(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_yaml(tmp_path / "a.yaml").data == {"name": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 2500,
        "a: " + "{b: " * 1200,
        "- " * 2500,
        "".join(" " * level + "a:\n" for level in range(90)),
    ],
    ids=["lists", "mappings", "dashes", "lines"],
)
def test_deep_nesting_is_refused_at_once(text):
    assert "mappings and lists are nested more than 30 deep; no such file needs that." in refused(text)


def test_the_line_of_the_deepest_value_is_named():
    assert "  line 31  " in refused("".join(" " * level + "a:\n" for level in range(90)))


def test_a_deep_value_within_the_limit_is_read():
    value = data("a: " + "[" * 29 + "]" * 29)["a"]
    for _ in range(28):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a" * 100_001, "100,001 characters"),
        ("[" + "a, " * 6000 + "]", "more than 5,000 values"),
        ("".join(f"k{number}: 1\n" for number in range(4000)), "more than 5,000 values"),
    ],
    ids=["long", "list", "keys"],
)
def test_too_much_is_refused(text, what):
    assert refused(text) == (
        f"a.yaml has {what}; at most 100,000 characters and 5,000 values are read. Is this another file?"
    )


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RecipeError, match=r"a.yaml has 1,099,511,627,776 bytes; at most"):
        read_yaml(tmp_path / "a.yaml")


def test_of_many_mistakes_the_first_are_shown():
    message = refused("a: 1\n" * 40)
    assert message.startswith("a.yaml has 39 mistakes\n")
    assert message.endswith("  line 21  a  this key is repeated (first on line 1).\n  and 19 more")


def test_long_values_are_cut_in_messages():
    message = refused(f"{'k' * 1000}: !{'t' * 3000} 1")
    assert len(message) < 2300
    assert "k" * 97 + "..." in message
    assert message.endswith("t...")
