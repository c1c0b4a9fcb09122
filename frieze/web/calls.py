"""Searching and looking at images."""

import io
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from features import count_cores
from frieze.drawing import PICTURE_PX, draw
from frieze.searching import Wanted
from frieze.web import documents
from frieze.web.collection import Collection
from frieze.web.parameters import BUSY, IMAGE, KEPT, PICTURE, PNG, Id, K, MinScore, Where


def add(app: FastAPI, collection: Collection) -> None:
    """Add the calls to an application."""
    _add_search(app, collection)
    _add_pictures(app, collection)


def _add_search(app: FastAPI, collection: Collection) -> None:
    """Add the two searches; answers go out as they are, for a second look at each hit took as long as finding it."""
    turns = CapacityLimiter(count_cores())  # more threads would only wait for each other

    @app.get("/search", response_model=documents.Found, response_model_exclude_unset=True)
    async def search(id: Id, k: K = 10, where: Where = None, min_score: MinScore = None) -> Any:  # noqa: A002
        """Find the images most similar to one of the collection."""
        wanted = Wanted(k, where, min_score)
        return await to_thread.run_sync(lambda: JSONResponse(collection.search(id, wanted)), limiter=turns)

    @app.post(
        "/search",
        response_model=documents.Found,
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
        return JSONResponse(await run_in_threadpool(collection.search_seen, name, seen, Wanted(k, where, min_score)))

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

    @app.get("/image", response_model=documents.Image)
    def image(id: Id) -> dict[str, Any]:  # noqa: A002  as everywhere
        """Say what is known of an image."""
        return collection.known(id)
