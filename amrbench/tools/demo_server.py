"""`amrbench demo`: a local page that finds moments in a recording of one's own.

The page sends a recording as the body of a request and sentences in its address; the answer is JSON. Other
pages that are open in the same browser cannot ask: a body of this media type needs the permission of the
server (CORS, Fetch standard), which nobody gets, and names of other hosts are refused (DNS rebinding).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any

from amrbench.data.audio import open_audio, readable_suffixes
from amrbench.data.recording_files import without_suffix
from amrbench.errors import AmrbenchError, DataError, RunError
from amrbench.experiment.finished_run import FinishedRun
from amrbench.notes import collected_notes
from amrbench.pages.demo_page import demo_page
from amrbench.pages.page import Section, joined, paragraph
from amrbench.pages.timeline import timelines_as_json
from amrbench.plugin_errors import naming_plugins
from amrbench.required_files import refuse_missing
from amrbench.tools.moment_files import labels_text, table_text
from amrbench.tools.predict_audio import find_moments
from amrbench.tools.recording_page import (
    LONGEST_SOUND,
    READING,
    models_heading,
    page_sound,
    recording_timelines,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
LARGEST = 200_000_000
"""Bytes of the largest recording."""
MOST_SENTENCES = 20
LONGEST_SENTENCE = 300
"""Characters; the sentences are in the address of a request, which the server limits to 64 kB."""
_LONGEST_NAME = 255
_BODY = "application/octet-stream"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Question:
    """What the page asks.

    Attributes:
        name: Of the recording, as people know it; shown, and never opened.
        sentences: What to find.
    """

    name: str
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, names: Sequence[str], sentences: Sequence[str]) -> Question:
        """Return the question of a request.

        Raises:
            DataError: A name is missing or holds a path, or sentences are missing, too many or too long.
        """
        name = names[0] if len(names) == 1 else ""
        if not name.strip(". ") or len(name) > _LONGEST_NAME or not name.isprintable():
            raise DataError("the recording has no usable name. Rename the file.")
        if "/" in name or "\\" in name:
            raise DataError(f"the name {name!r} holds a path. Send the name of the file alone.")
        if not sentences:
            raise DataError("there is no sentence. Write at least one.")
        if len(sentences) > MOST_SENTENCES:
            raise DataError(f"there are {len(sentences)} sentences. Ask at most {MOST_SENTENCES} at once.")
        if long := next((text for text in sentences if len(text) > LONGEST_SENTENCE), ""):
            raise DataError(f"the sentence {long[:30]!r}... is longer than {LONGEST_SENTENCE} characters.")
        return cls(name, tuple(sentences))


@dataclass(frozen=True)
class Demo:
    """The models of the page, which answer one question at a time.

    Attributes:
        models: One or more runs.
        top: Moments to show for each sentence and model.
    """

    models: Sequence[FinishedRun]
    top: int

    @cached_property
    def _lock(self) -> Lock:
        return Lock()

    def load(self) -> None:
        """Read the weights, so that what is missing is known before the page is opened.

        Raises:
            DataError: Files of an encoder are missing.
            RunError: The weights of a run are not there.
        """
        for model in self.models:
            for part, _ in model.backends:
                refuse_missing(f"encoder {part.label!r}", part.required_files())
            with naming_plugins(model.recipe):
                _ = model.criterion

    def page(self) -> str:
        """Return the page as HTML."""
        reading = Section("How to read it", joined([paragraph(text) for text in READING]))
        return demo_page(models_heading(self.models), [reading], largest=LARGEST).html()

    def answer(self, question: Question, recording: Path) -> dict[str, Any]:
        """Return what the page shows, as plain values.

        Args:
            question: About the recording.
            recording: A temporary file, which messages call by the name in the question.

        Raises:
            DataError: The recording cannot be read, is too long or too short, or a sentence is not usable.
        """
        try:
            with self._lock, collected_notes() as notes:
                return self._answer(question, recording) | {
                    "notes": [text.replace(str(recording), question.name) for text in notes]
                }
        except AmrbenchError as error:
            raise DataError(str(error).replace(str(recording), question.name)) from error

    def _answer(self, question: Question, recording: Path) -> dict[str, Any]:
        if (seconds := open_audio(recording).seconds) > LONGEST_SOUND:
            raise DataError(
                f"{recording}: lasts {seconds / 60:.0f} minutes; the page takes at most "
                f"{LONGEST_SOUND / 60:.0f}. Use 'amrbench predict'."
            )
        results = []
        for model in self.models:
            with naming_plugins(model.recipe):
                results.append(find_moments(recording, question.sentences, model))
        audio = page_sound(results[0].recording)
        timelines = recording_timelines(results, self.top, audio=audio, picture=True)
        named = [
            replace(result, recording=replace(result.recording, path=Path(question.name)))
            for result in results
        ]
        return {
            "timelines": timelines_as_json([replace(own, vid=question.name) for own in timelines]),
            "labels": labels_text(named, self.top),
            "table": table_text(named, self.top),
            "stem": without_suffix(question.name),
        }


def demo_app(demo: Demo, *, largest: int = LARGEST) -> Starlette:
    """Return the server as an ASGI application.

    Args:
        demo: Answers.
        largest: Bytes of the largest recording that is taken.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    def refused(status: int, text: str) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers=_HEADERS)

    async def failed(_: Request, error: Exception) -> Response:
        return refused(
            500, f"the server failed ({type(error).__name__}). The terminal shows where; it is a bug."
        )

    async def page(_: Request) -> Response:
        return HTMLResponse(demo.page(), headers=_HEADERS)

    async def moments(request: Request) -> Response:
        if request.headers.get("content-type") != _BODY:
            return refused(415, f"a recording is sent as {_BODY}.")
        with TemporaryDirectory(prefix="amrbench-demo-") as folder:
            try:
                query = request.query_params
                question = Question.of(query.getlist("name"), query.getlist("sentence"))
                file = Path(folder) / f"recording{_known_suffix(question.name)}"
                if not await _received(request, file, largest):
                    size = f"{largest / 1e6:g} MB"
                    return refused(413, f"{question.name}: is larger than {size}. Send a shorter recording.")
                return JSONResponse(await run_in_threadpool(demo.answer, question, file), headers=_HEADERS)
            except AmrbenchError as error:
                return refused(400, str(error))

    return Starlette(
        routes=[Route("/", page), Route("/moments", moments, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)],
        exception_handlers={Exception: failed},
    )


def serve(demo: Demo, listener: socket.socket) -> None:
    """Answer requests until the process is interrupted."""
    import uvicorn

    config = uvicorn.Config(demo_app(demo), log_level="warning", limit_concurrency=32, server_header=False)
    with closing(listener):
        uvicorn.Server(config).run(sockets=[listener])


def listening(port: int) -> socket.socket:
    """Return a socket of this machine alone.

    Args:
        port: 0 for any that is free.

    Raises:
        RunError: It cannot be had, mostly because another program has it.
        DataError: The packages of the demo are not installed.
    """
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise DataError(
            f"the demo needs the package {missing[0]}. Install it with 'pip install amrbench[demo]'."
        )
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise RunError(
            f"port {port} of {HOST} cannot be used ({reason}). Name another one with --port."
        ) from error


def _known_suffix(name: str) -> str:
    """Return the suffix of a name if it is one of recordings; others do not become part of a path."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in readable_suffixes() else ""


async def _received(request: Request, file: Path, largest: int) -> bool:
    """Write the body of a request to a file; return False if it is larger than allowed."""
    size = 0
    with file.open("wb") as writer:
        async for piece in request.stream():
            size += len(piece)
            if size > largest:
                return False
            writer.write(piece)
    return True
