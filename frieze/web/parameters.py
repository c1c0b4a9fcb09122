"""What the calls take and answer, as OpenAPI tells it."""

from typing import Annotated, Any

from fastapi import Query

from frieze.web import documents

MOST = 1000
KEPT = "private, max-age=3600"
"""How long a browser keeps a picture: an image that is replaced has another one within the hour."""

Id = Annotated[str, Query(description="An image's id.", max_length=4096)]
K = Annotated[int, Query(ge=1, le=MOST, description="Hits at most.")]
Where = Annotated[str | None, Query(max_length=4096, description="A filter, as of `frieze search --where`.")]
MinScore = Annotated[float | None, Query(allow_inf_nan=False, description="Leave out hits below it.")]
Start = Annotated[int, Query(ge=0, le=10**9)]
Count = Annotated[int, Query(ge=0, le=MOST)]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": documents.Problem, "description": "Something in the request; the message says what to do."},
    403: {"model": documents.Problem, "description": "Sent by another site's page."},
    408: {"model": documents.Problem, "description": "What was brought came too slowly."},
    413: {"model": documents.Problem, "description": "Too large."},
    421: {"model": documents.Problem, "description": "Asked for under a name that is not this server's."},
}
BUSY: dict[int | str, dict[str, Any]] = {503: {"model": documents.Problem, "description": "Too many wait; ask again."}}
GONE: dict[int | str, dict[str, Any]] = {
    404: {"model": documents.Problem, "description": "No such image, or it is gone."}
}
LATER: dict[int | str, dict[str, Any]] = {202: {"model": documents.Working, "description": "It is being made."}}
IMAGE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}}
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "A PNG."}}
