"""What the page's server answers."""

import io
from typing import Annotated, Any, Literal

import fastapi
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from frieze.core import count_cores
from frieze.reports.projection import check_method
from frieze.reports.thumbnails import PICTURE_PX, draw
from frieze.search_document import SearchOptions
from frieze.web import schemas
from frieze.web.background import BackgroundResult
from frieze.web.collection import Collection
from frieze.web.schemas import BUSY, IMAGE, KEPT, LATER, PICTURE, PNG, Count, Id, K, MinScore, Start, Where


def add_calls(app: FastAPI, collection: Collection) -> None:
    """Add the calls to an application."""
    _add_search(app, collection)
    _add_pictures(app, collection)


def _add_search(app: FastAPI, collection: Collection) -> None:
    """Add the two searches; answers go out as they are, for a second look at each hit took as long as finding it."""
    turns = CapacityLimiter(count_cores())  # more threads would only wait for each other

    @app.get("/search", response_model=schemas.Found, response_model_exclude_unset=True)
    async def search(id: Id, k: K = 10, where: Where = None, min_score: MinScore = None) -> Any:  # noqa: A002
        """Find the images most similar to one of the collection."""
        wanted = SearchOptions(k, where, min_score)
        return await to_thread.run_sync(lambda: JSONResponse(collection.search(id, wanted)), limiter=turns)

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
        seen = await run_in_threadpool(collection.inference.see, data)
        return JSONResponse(
            await run_in_threadpool(collection.search_seen, name, seen, SearchOptions(k, where, min_score))
        )

    @app.post("/crop", response_class=Response, responses=BUSY | PNG, openapi_extra=IMAGE)
    async def crop(request: Request) -> Response:
        """Give the image in the body as the backbone sees it, as a PNG."""
        data = await request.body()
        seen = await run_in_threadpool(collection.inference.see, data)
        file = io.BytesIO()
        Image.fromarray(seen.pixels).save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png")


def _add_pictures(app: FastAPI, collection: Collection) -> None:
    @app.get("/thumbnail", response_class=Response, responses=PICTURE)
    def thumbnail(id: Id) -> Response:  # noqa: A002  as everywhere
        """Give a small picture of an image of the collection."""
        known = collection.known(id)
        data = collection.thumbnails.get(known["uri"], str(known.get("sha256", "")))
        return Response(data, media_type="image/jpeg", headers={"cache-control": KEPT})

    @app.get("/picture", response_class=Response, responses=PICTURE)
    def picture(id: Id) -> Response:  # noqa: A002  as everywhere
        """Give an image of the collection, its longer side at most 1280 pixels."""
        return Response(draw(collection.known(id)["uri"], PICTURE_PX), media_type="image/jpeg")

    @app.get("/image", response_model=schemas.Image)
    def image(id: Id) -> dict[str, Any]:  # noqa: A002  as everywhere
        """Say what is known of an image."""
        return collection.known(id)


Label = Annotated[
    str | None, fastapi.Query(max_length=4096, description="Images of this label; empty for those without one.")
]


def add_views(app: FastAPI, collection: Collection) -> None:
    """Add the calls to an application."""

    @app.get("/collection", response_model=schemas.Facts)
    def describe() -> dict[str, Any]:
        """Say what is here."""
        return collection.describe()

    @app.get("/images", response_model=schemas.Images)
    def browse(label: Label = None, where: Where = None, start: Start = 0, n: Count = 60) -> dict[str, Any]:
        """Give some images, in the order of the table."""
        return collection.browse(label, where, start, n)

    @app.get("/duplicates", response_model=schemas.Duplicates, responses=LATER)
    def duplicates() -> Any:
        """Give the groups of duplicates, the image to keep first; they are looked for when first asked for."""
        return _or_working(collection.duplicates())

    @app.get("/mistakes", response_model=schemas.Mistakes, responses=LATER)
    def mistakes(start: Start = 0, n: Count = 60) -> Any:
        """Give the images that the head takes for another class than their label, surest first."""
        later = collection.mistakes()
        if later.state in ("idle", "working"):
            return _or_working(later)
        found = later.get()
        return {"total": len(found), "mistakes": found[start : start + n]}

    @app.get("/map", response_model=schemas.Map, responses=LATER)
    def lay_out(method: Literal["pca", "umap"] = "pca") -> Any:
        """Give the images as points on a plane, at most 100,000 of them."""
        check_method(method)
        return _or_working(collection.map(method))


def _or_working(later: BackgroundResult[Any]) -> Any | Response:
    """Give what is ready; else have it made and say so."""
    if later.state in ("idle", "working"):
        later.begin()
        return JSONResponse({"state": "working"}, 202)
    return later.get()
