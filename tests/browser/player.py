"""Waits for the player of a page, whose policy lets no text run as a script."""

import time


def wait_until(page, condition, seconds=30.0):
    """Wait until an expression of a page is true."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition} stayed false"
        page.wait_for_timeout(50)
