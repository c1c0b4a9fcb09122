"""The page's FastAPI application: routes, middleware and error responses."""

import functools
import secrets
from typing import cast

import jinja2
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect

from frieze.core import ImageError, InputError
from frieze.reports import templates
from frieze.web.collection import Collection
from frieze.web.facets.routes import add_facet_routes
from frieze.web.inference import MAX_BYTES, BusyError
from frieze.web.labels.routes import add_label_routes
from frieze.web.labels.teach_routes import add_teach_routes
from frieze.web.map.routes import add_map_routes
from frieze.web.middleware import Guard, TooLargeError, TooSlowError
from frieze.web.routes import add_collection_routes, add_decision_routes, add_search_routes
from frieze.web.schemas import PROBLEMS
from frieze.web.writing import ReadOnlyError, TokenError, writable

_RESPONSES: dict[type[Exception], tuple[int, str, str, dict[str, str]]] = {
    BusyError: (503, "Too many images wait.", "Ask again.", {"retry-after": "2"}),
    TooSlowError: (408, "The image came too slowly.", "Send it again.", {"connection": "close"}),
    TooLargeError: (413, f"At most {MAX_BYTES >> 20} MB are taken.", "", {}),
    TokenError: (403, "Writing needs this server's token.", "Open the address that frieze serve printed.", {}),
    ReadOnlyError: (403, "This page is read-only.", "Start it again without `read_only`.", {}),
}
"""Error -> status, what is wrong, what to do, and headers."""


def make_app(collection: Collection, *, hosts: frozenset[str] = frozenset(), token: str | None = None) -> FastAPI:
    """Create the application.

    Args:
        collection: The collection to show; the caller closes it.
        hosts: Host names that requests may use, besides loopback's.
        token: What a request that writes has to send along; a random one, which nobody knows, by default.
    """
    app = FastAPI(title="Frieze", version="1", docs_url=None, redoc_url=None, responses=PROBLEMS)
    app.add_middleware(Guard, hosts=hosts, max_bytes=MAX_BYTES)
    _add_errors(app)
    _add_page(app, collection)
    add_search_routes(app, collection)
    add_collection_routes(app, collection)
    add_facet_routes(app, collection)
    add_map_routes(app, collection)
    may_write = writable(token or secrets.token_urlsafe(), is_read_only=collection.is_read_only)
    add_decision_routes(app, collection, may_write)
    add_label_routes(app, collection, may_write)
    add_teach_routes(app, collection, may_write)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(InputError)
    def input_error(_: Request, error: InputError) -> Response:
        return JSONResponse({"detail": error.message, "mend": error.hint}, 400)

    @app.exception_handler(ImageError)
    def image_error(_: Request, error: ImageError) -> Response:
        return JSONResponse({"detail": f"The image can't be shown ({error.reason}).", "mend": ""}, 404)

    @app.exception_handler(RequestValidationError)
    def invalid_request(_: Request, error: RequestValidationError) -> Response:
        detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        is_unknown = all(one["type"] == "extra_forbidden" for one in error.errors())
        mend = "Leave it out, or look up its name in /openapi.json." if is_unknown else ""
        return JSONResponse({"detail": detail, "mend": mend}, 422 if is_unknown else 400)

    @app.exception_handler(ClientDisconnect)
    def disconnected(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    for kind, (status, detail, hint, headers) in _RESPONSES.items():
        response = functools.partial(_respond, status, {"detail": detail, "mend": hint}, headers)
        app.add_exception_handler(kind, response)


def _respond(
    status: int, problem: dict[str, str], headers: dict[str, str], _request: Request, _error: Exception
) -> Response:
    return JSONResponse(problem, status, headers)


def _add_page(app: FastAPI, collection: Collection) -> None:
    environment = templates.environment()
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader("frieze.web"), cast("jinja2.BaseLoader", environment.loader)])
    page = environment.overlay(loader=loader).get_template("page.html")
    app.mount("/static", StaticFiles(packages=[("frieze.web", "static"), ("frieze.reports", "static")]), name="static")

    @app.get("/", include_in_schema=False)
    def show() -> HTMLResponse:
        spec = collection.index.spec
        facts = {"has_head": collection.head is not None, "has_words": spec.text_encoder is not None}
        facts["has_labels"] = collection.labels is not None
        return HTMLResponse(page.render(index=collection.index.path.name, backbone=spec.name, **facts))
