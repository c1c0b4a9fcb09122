"""The page's FastAPI application: routes, middleware and error responses."""

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
from frieze.web.inference import MAX_BYTES, BusyError
from frieze.web.middleware import Guard, TooLargeError, TooSlowError
from frieze.web.routes import add_collection_routes, add_search_routes
from frieze.web.schemas import PROBLEMS


def make_app(collection: Collection, *, hosts: frozenset[str] = frozenset()) -> FastAPI:
    """Create the application.

    Args:
        collection: The collection to show; the caller closes it.
        hosts: Host names that requests may use, besides loopback's.
    """
    app = FastAPI(title="Frieze", version="1", docs_url=None, redoc_url=None, responses=PROBLEMS)
    app.add_middleware(Guard, hosts=hosts, max_bytes=MAX_BYTES)
    _add_errors(app)
    _add_page(app, collection)
    add_search_routes(app, collection)
    add_collection_routes(app, collection)
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
        return JSONResponse({"detail": detail, "mend": ""}, 400)

    @app.exception_handler(BusyError)
    def busy(_: Request, __: BusyError) -> Response:
        return JSONResponse({"detail": "Too many images wait.", "mend": "Ask again."}, 503, {"retry-after": "2"})

    @app.exception_handler(ClientDisconnect)
    def disconnected(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    @app.exception_handler(TooSlowError)
    def too_slow(_: Request, __: TooSlowError) -> Response:
        problem = {"detail": "The image came too slowly.", "mend": "Send it again."}
        return JSONResponse(problem, 408, {"connection": "close"})

    @app.exception_handler(TooLargeError)
    def too_large(_: Request, __: TooLargeError) -> Response:
        return JSONResponse({"detail": f"At most {MAX_BYTES >> 20} MB are taken.", "mend": ""}, 413)


def _add_page(app: FastAPI, collection: Collection) -> None:
    environment = templates.environment()
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader("frieze.web"), cast("jinja2.BaseLoader", environment.loader)])
    page = environment.overlay(loader=loader).get_template("page.html")
    app.mount("/static", StaticFiles(packages=[("frieze.web", "static"), ("frieze.reports", "static")]), name="static")

    @app.get("/", include_in_schema=False)
    def show() -> HTMLResponse:
        return HTMLResponse(page.render(index=collection.index.path.name, has_head=collection.head is not None))
