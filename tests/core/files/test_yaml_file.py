import pytest

from amrbench.errors import RecipeError
from amrbench.files.yaml_file import parse_yaml, read_yaml


def data(text):
    return parse_yaml(text, "a.yaml").data


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


@pytest.mark.parametrize("text", ["", "\n\n", "# only a remark\n", "---\n"])
def test_an_empty_file_is_refused(text):
    assert refused(text) == "a.yaml has 1 mistake\n\n  line 1    the file is empty."


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError) as error:
        read_yaml(tmp_path / "none.yaml")
    assert str(error.value) == f"{tmp_path}/none.yaml cannot be read: No such file or directory."


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: Is a directory."):
        read_yaml(tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(RecipeError) as error:
        read_yaml(tmp_path / "a.yaml")
    assert str(error.value) == f"{tmp_path}/a.yaml is not UTF-8 text: invalid continuation byte at byte 9."


def test_a_file_with_a_byte_order_mark_reads_like_any_other(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_yaml(tmp_path / "a.yaml").data == {"name": "x"}
