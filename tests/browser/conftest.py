"""Pages in headless Chromium, at the width of a desktop and of a phone, in light and in dark colours."""

import shutil
from pathlib import Path

import pytest

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    """Return the browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def size(request):
    """Return the name of a size of the window."""
    return request.param


@pytest.fixture(params=["light", "dark"])
def colours(request):
    """Return the colours that the system asks for."""
    return request.param


@pytest.fixture
def visit(chromium):
    """Return a function that opens a page; at the end there must have been no error and no request."""
    contexts, faults = [], []

    def go(address, *, size="desktop", colours="light"):
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on(
            "request", lambda request: faults.append(request.url) if leaves(request.url, address) else None
        )
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
    assert faults == []


def leaves(url: str, address: str) -> bool:
    """Whether a request goes to another place than the page itself."""
    return not url.startswith((address.partition("#")[0], "data:", "blob:"))


def serious_faults(page) -> list[str]:
    """Return what axe-core finds that keeps people from using a page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
