import threading

import pytest

from amrbench.data.look_ahead import look_ahead


def test_items_are_made_one_ahead_in_their_order():
    made = []

    def items():
        for number in range(4):
            made.append((number, threading.current_thread() is threading.main_thread()))
            yield number

    ahead = look_ahead(items())
    assert next(ahead) == 0
    assert list(ahead) == [1, 2, 3]
    assert made == [(number, False) for number in range(4)]
    assert list(look_ahead([])) == []
    assert list(look_ahead([None, 0])) == [None, 0]


def test_at_most_one_item_is_waiting():
    made, second = [], threading.Event()

    def items():
        for number in range(9):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = look_ahead(items())
    next(ahead)
    assert second.wait(10)
    ahead.close()
    assert made == [0, 1]


def test_an_error_is_raised_where_its_item_is_due():
    def items():
        yield 1
        raise ValueError("no second item")

    ahead = look_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no second item"):
        next(ahead)
