"""Whatever the OpenAPI document allows, and much that it does not, is answered without a server error."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from frieze.api.confirming import find_copies
from frieze.web.app import make_app
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
CALLS = (
    "GET /search",
    "GET /search-text",
    "POST /search",
    "POST /crop",
    "GET /thumbnail",
    "GET /picture",
    "GET /original",
    "GET /exif",
    "GET /image",
    "GET /images",
    "GET /facets",
)
CALLS += ("GET /collection", "GET /duplicates", "GET /mistakes", "GET /map", "GET /decisions", "POST /decisions")
CALLS += ("GET /labels", "POST /labels", "GET /labels.csv", "POST /teach", "GET /curve", "POST /heads", "POST /retrain")
CALLS += ("GET /map/points", "GET /map/images", "GET /map/columns", "GET /map/colours", "GET /map/passing")

BARE = (
    "GET /map/columns",
    "GET /collection",
    "GET /duplicates",
    "GET /decisions",
    "GET /labels.csv",
    "POST /crop",
    "POST /retrain",
)
"""Calls that take nothing that could be wrong."""


@pytest.fixture(scope="module")
def operations(world, tmp_path_factory):
    """The page's calls by its own description."""
    thumbnails = tmp_path_factory.mktemp("cache") / "thumbnails.sqlite"
    collection = open_collection(
        world / "photos.index",
        world / "photos.head",
        thumbnails,
        find_duplicates=find_copies,
        labels=thumbnails.with_name("labels.parquet"),
    )
    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(collection, hosts=frozenset({"testserver"})))
    actual = (one.ok() for one in schema.get_all_operations())
    yield {f"{one.method.upper()} {one.path}": one for one in actual}
    collection.close()


def test_all_calls(operations):
    """Every call of the description is tried below."""
    assert set(operations) == set(CALLS)


@pytest.mark.parametrize(
    ("call", "mode"),
    [(call, GenerationMode.POSITIVE) for call in CALLS]
    + [(call, GenerationMode.NEGATIVE) for call in CALLS if call not in BARE],
)
def test_every_call(operations, call, mode):
    """Each call answers every request as it says it does, and none with a server error."""

    @given(case=operations[call].as_strategy(generation_mode=mode))
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def try_it(case):
        case.call_and_validate(excluded_checks=[positive_data_acceptance])  # an id that is not there is refused

    try_it()
