import pytest

from amrbench.content_hash import content_hash, seed_from


def test_the_hash_of_a_content_is_fixed():
    assert content_hash({"a": 1, "b": [2.5, "x", None]}) == "35117479bb4d41776a6cb8aa"


def test_the_order_of_keys_and_the_kind_of_list_do_not_count():
    assert content_hash({"a": 1, "b": (2, {"c": 3, "d": 4})}) == content_hash(
        {"b": [2, {"d": 4, "c": 3}], "a": 1}
    )


@pytest.mark.parametrize("other", [[2, 1], [1, 2.0], [1, "2"], [[1, 2]], [1, 2, None], {"1": 2}])
def test_other_content_has_another_hash(other):
    assert content_hash(other) != content_hash([1, 2])


def test_seeds_depend_on_every_name():
    assert len({seed_from(1, 2), seed_from(2, 1), seed_from(12), seed_from("1", "2", "")}) == 4
    assert 0 <= seed_from("x") < 1 << 63
