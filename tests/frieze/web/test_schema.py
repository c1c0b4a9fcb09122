"""Whatever the OpenAPI document allows, and much that it does not, is answered without a server error."""

import pytest
import schemathesis
from hypothesis import settings

from frieze.web.app import make_app
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def web_api(world, tmp_path_factory):
    """The page's own description of its calls."""
    collection = open_collection(
        world / "photos.index", world / "photos.head", tmp_path_factory.mktemp("cache") / "thumbnails.sqlite"
    )
    yield schemathesis.openapi.from_asgi("/openapi.json", make_app(collection))
    collection.close()


schema = schemathesis.pytest.from_fixture("web_api")


@schema.parametrize()
@settings(max_examples=60, deadline=None)
def test_every_call(case):
    """Each call answers every request as it says it does, and none with a server error."""
    case.call_and_validate(headers={"host": "localhost"})
