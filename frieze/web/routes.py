"""The routes of the page's server."""

import io
from typing import Annotated, Any

import fastapi
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from frieze.core import count_cores
from frieze.reports.thumbnails import PICTURE_PX, draw, draw_whole
from frieze.search_document import SearchOptions
from frieze.web import schemas
from frieze.web.background import BackgroundResult
from frieze.web.collection import Collection
from frieze.web.exif import read_exif
from frieze.web.mistakes import Source
from frieze.web.originals import read_original
from frieze.web.schemas import (
    ACCEPTED,
    BUSY,
    CACHE_CONTROL,
    IMAGE,
    ORIGINAL,
    PICTURE,
    PNG,
    Count,
    Id,
    K,
    Lasso,
    MinScore,
    Start,
    Text,
    Where,
)
from frieze.web.writing import Writable


def add_search_routes(app: FastAPI, collection: Collection) -> None:
    """Add the routes for searches, thumbnails and pictures."""
    _add_search(app, collection)
    _add_pictures(app, collection)


def _add_search(app: FastAPI, collection: Collection) -> None:
    """Add the searches; they return a JSONResponse, since validating each hit takes as long as finding it."""
    limiter = CapacityLimiter(count_cores())  # more threads would only wait for each other

    @app.get("/search", response_model=schemas.Found, response_model_exclude_unset=True)
    async def search(id: Id, k: K = 10, where: Where = None, min_score: MinScore = None) -> Any:  # noqa: A002
        """Find the images most similar to one of the collection."""
        options = SearchOptions(k, where, min_score)
        return await to_thread.run_sync(lambda: JSONResponse(collection.search(id, options)), limiter=limiter)

    @app.get("/search-text", response_model=schemas.Found, response_model_exclude_unset=True, responses=BUSY)
    async def search_text(text: Text, k: K = 10, where: Where = None, min_score: MinScore = None) -> Any:
        """Find the images nearest to a text, where the backbone has a text tower."""
        options = SearchOptions(k, where, min_score)
        return JSONResponse(await run_in_threadpool(collection.search_text, f"text:{text}", options))

    @app.post(
        "/search",
        response_model=schemas.Found,
        response_model_exclude_unset=True,
        responses=BUSY,
        openapi_extra=IMAGE,
    )
    async def search_image(
        request: Request, name: str = "image", k: K = 10, where: Where = None, min_score: MinScore = None
    ) -> Any:
        """Find the images most similar to the one in the body."""
        data = await request.body()
        uploaded = await run_in_threadpool(collection.inference.embed, data)
        options = SearchOptions(k, where, min_score)
        return JSONResponse(await run_in_threadpool(collection.search_embedded, name, uploaded, options))

    @app.post("/crop", response_class=Response, responses=BUSY | PNG, openapi_extra=IMAGE)
    async def crop(request: Request) -> Response:
        """Return the image in the body, resized to the backbone's input, as a PNG."""
        data = await request.body()
        uploaded = await run_in_threadpool(collection.inference.embed, data)
        file = io.BytesIO()
        Image.fromarray(uploaded.pixels).save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png")


Whole = Annotated[bool, fastapi.Query(description="Of a part of an image all of it, with the part outlined.")]


def _add_pictures(app: FastAPI, collection: Collection) -> None:
    @app.get("/thumbnail", response_class=Response, responses=PICTURE)
    def thumbnail(id: Id) -> Response:  # noqa: A002  as everywhere
        """Return the thumbnail of an image of the collection."""
        metadata = collection.metadata(id)
        decoding = collection.index.spec.decoding
        data = collection.thumbnails.get(metadata["uri"], str(metadata.get("sha256", "")), decoding=decoding)
        return Response(data, media_type="image/jpeg", headers={"cache-control": CACHE_CONTROL})

    @app.get("/picture", response_class=Response, responses=PICTURE)
    def picture(id: Id, whole: Whole = False) -> Response:  # noqa: A002  as everywhere
        """Return an image of the collection, its longer side at most 1280 pixels; of a part the part alone."""
        uri = collection.metadata(id)["uri"]
        data = (draw_whole if whole else draw)(uri, PICTURE_PX, decoding=collection.index.spec.decoding)
        return Response(data, media_type="image/jpeg", headers={"cache-control": CACHE_CONTROL})

    @app.get("/original", response_class=Response, responses=ORIGINAL)
    def original(id: Id) -> Response:  # noqa: A002  as everywhere
        """Return the file of an image where browsers show it as it was embedded, else a JPEG of all its pixels."""
        uri = collection.metadata(id)["uri"]
        data, media_type = read_original(uri, decoding=collection.index.spec.decoding)
        return Response(data, media_type=media_type, headers={"cache-control": CACHE_CONTROL})

    @app.get("/exif", response_model=schemas.Exif, response_model_exclude_unset=True)
    def exif(id: Id) -> dict[str, str]:  # noqa: A002  as everywhere
        """Return what the camera wrote into the file of an image."""
        return read_exif(collection.metadata(id)["uri"])

    @app.get("/image", response_model=schemas.Image)
    def image(id: Id) -> dict[str, Any]:  # noqa: A002  as everywhere
        """Return the metadata of an image."""
        return collection.metadata(id)


Label = Annotated[
    str | None, fastapi.Query(max_length=4096, description="Images of this label; empty for those without one.")
]


MistakeSource = Annotated[
    Source,
    fastapi.Query(
        description="The head of the page, an audit of the labels, or the heads of `POST /retrain`,"
        " each of which judges the images that it was not fitted on."
    ),
]


def add_collection_routes(app: FastAPI, collection: Collection) -> None:
    """Add the routes for the collection, classes, duplicates and mistakes."""

    @app.get("/collection", response_model=schemas.Facts)
    def describe() -> dict[str, Any]:
        """Describe the collection."""
        return collection.describe()

    @app.get("/images", response_model=schemas.Images)
    def browse(
        label: Label = None, where: Where = None, lasso: Lasso = None, start: Start = 0, n: Count = 60
    ) -> dict[str, Any]:
        """Return some images, in the order of the table."""
        return collection.browse(label, where, lasso or None, start, n)

    @app.get("/duplicates", response_model=schemas.Duplicates, responses=ACCEPTED)
    def duplicates() -> Any:
        """Return the groups of duplicates, the image to keep first, and look-alikes; computed on the first request."""
        return _or_working(collection.duplicates())

    @app.get("/mistakes", response_model=schemas.Mistakes, responses=ACCEPTED)
    def mistakes(source: MistakeSource = "head", start: Start = 0, n: Count = 60) -> Any:
        """Return the images whose label may be wrong, most confident first; computed on the first request."""
        result = collection.mistakes.find(source)
        if result.state in ("idle", "working"):
            return _or_working(result)
        rows = result.get()["mistakes"] if source == "retrained" else result.get()
        return {"total": len(rows), "mistakes": rows[start : start + n]}

    @app.post("/retrain", response_model=schemas.Retrained, responses=ACCEPTED)
    def retrain() -> Any:
        """Fit heads on the labels as they are now and as the table has them, and compare these; nothing is stored."""
        return _or_working(collection.mistakes.retrain())


def add_decision_routes(app: FastAPI, collection: Collection, writable: Writable) -> None:
    """Add the routes for decisions on duplicates.

    Args:
        app: The application.
        collection: The collection.
        writable: Refuses requests that must not write.
    """

    @app.get("/decisions", response_model=schemas.Decisions)
    def decisions() -> dict[str, Any]:
        """Return the decisions on pairs of images."""
        return collection.decisions()

    @app.post("/decisions", response_model=schemas.Decision, dependencies=[writable])
    def decide(decision: schemas.Decision) -> schemas.Decision:
        """Store a decision on a pair of images; it replaces an earlier one."""
        collection.decide(decision)
        return decision


def _or_working(result: BackgroundResult[Any]) -> Any | Response:
    """Return a result that is ready; else start its computation, and return status 202."""
    if result.state in ("idle", "working"):
        result.begin()
        return JSONResponse({"state": "working"}, 202)
    return result.get()
