import io
import pickle
import pickletools
from argparse import Namespace
from collections import OrderedDict, defaultdict
from datetime import date
from decimal import Decimal

import pytest

from amrbench.files.pickle_outline import Outline


def outline(value, protocol=2):
    return Outline(io.BytesIO(pickle.dumps(value, protocol)))


def test_plain_values_name_nothing():
    plain = {"a": [1, 2.5, None, True, "x", (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), 10**30], "b": {}}
    read = outline(plain)
    assert read.names == set()
    assert read.tree == plain


def test_each_class_is_named_with_the_first_entry_that_needs_it():
    day = date(2020, 1, 2)
    value = {"opt": Namespace(a=[1, {"b": (2, day)}], c=Decimal(3), again=day), "later": Decimal(4)}
    assert outline(value).paths() == {
        "argparse.Namespace": "opt",
        "datetime.date": "opt.a[1].b[1]",
        "decimal.Decimal": "opt.c",
        "_codecs.encode": "opt.a[1].b[1]",
    }


def test_items_of_ordered_and_default_mappings_are_entries():
    value = {"opt": OrderedDict(a=defaultdict(list, {"b": Decimal(1)}))}
    assert outline(value).paths()["decimal.Decimal"] == "opt.a.b"


def test_a_circle_ends():
    value = {"a": [Decimal(1)]}
    value["a"].append(value)
    assert outline(value).paths() == {"decimal.Decimal": "a[0]"}


@pytest.mark.parametrize("protocol", [0, 1])
def test_older_pickles_name_their_classes(protocol):
    assert "decimal.Decimal" in outline({"a": Decimal(1)}, protocol).names


def test_a_pickle_that_cannot_be_followed_names_its_classes():
    read = Outline(io.BytesIO(b"cposix\nsystem\nR."))
    assert read.names == {"posix.system"}
    assert read.paths() == {}


@pytest.mark.parametrize(
    ("content", "opcode"),
    [(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "STACK_GLOBAL"), (b"\x82\x01.", "EXT1")],
)
def test_classes_without_a_literal_name_are_refused(content, opcode):
    assert opcode in [step.name for step, *_ in pickletools.genops(content)]
    with pytest.raises(ValueError, match=f"the pickle uses {opcode}, which torch.save does not write"):
        Outline(io.BytesIO(content))


def test_a_long_pickle_is_refused(monkeypatch):
    monkeypatch.setattr("amrbench.files.pickle_outline.MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"its pickle is longer than 10,000 bytes"):
        Outline(io.BytesIO(b"N" * 10_002 + b"."))


def test_another_file_is_refused():
    with pytest.raises(ValueError, match="opcode"):
        Outline(io.BytesIO(b"\xffhello"))
