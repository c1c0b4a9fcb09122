import dataclasses
import json

import pytest

from frieze.core import MismatchError
from frieze.features import check_same_backbone, is_same_backbone

CHANGED = {
    "fingerprint": "cd" * 32,
    "dim": 5,
    "image_size": (9, 8),
    "fit": "crop",
    "pixels": "-1..1",
    "layer": "top",
    "pool": "max",
    "precision": "bfloat16",
    "decoding": "2",
}
"""Each field that decides what an embedding is, with another value."""
NOT_JUDGED = ("name", "handle", "weights", "drift", "text_encoder")


def test_json_round_trip(spec):
    """A spec read back from its JSON text is the same spec."""
    full = dataclasses.replace(spec, **CHANGED, weights="imagenet")
    assert type(spec).from_json(json.loads(json.dumps(full.to_json()))) == full


def test_later_fields_left_aside(spec):
    """A field that a later version adds does not keep an older one from reading."""
    assert type(spec).from_json(spec.to_json() | {"colour_space": "P3"}) == spec


@pytest.mark.parametrize("field", CHANGED)
def test_other_identity_refused(field, spec):
    """A difference in any field of the identity is refused, with both sides and the mend."""
    other = dataclasses.replace(spec, **{field: CHANGED[field]})
    with pytest.raises(MismatchError) as caught:
        check_same_backbone(other, spec, where="photos.features", hint="frieze embed --force")
    here, there = (str(getattr(one, field))[: 12 if field == "fingerprint" else None] for one in (other, spec))
    assert f"{field}: {here} here, {there} there" in caught.value.message
    assert "photos.features" in caught.value.message
    assert caught.value.hint == "frieze embed --force"


@pytest.mark.parametrize("field", NOT_JUDGED)
def test_other_name_accepted(field, spec):
    """Names are for people, and drift is what was measured: a difference there is no mismatch."""
    check_same_backbone(dataclasses.replace(spec, **{field: "other"}), spec, where="x", hint="y")


def test_drift_is_stored(spec):
    """What was measured of the drift comes back with the spec; where nothing was, nothing is written."""
    measured = dataclasses.replace(spec, drift={"least_cosine": 0.99})
    assert type(spec).from_json(measured.to_json()) == measured
    assert "drift" not in spec.to_json()


def test_every_field_is_judged(spec):
    """Each field of a spec is either part of the identity or named above as not."""
    assert {field.name for field in dataclasses.fields(spec)} == {*CHANGED, *NOT_JUDGED}


def test_the_mean_is_the_default(spec):
    """A table whose maps were averaged by default, and says nothing of it, goes on where their mean is asked for."""
    averaged = dataclasses.replace(spec, pool="avg")
    assert is_same_backbone(averaged, spec)
    assert "pool" not in spec.to_json()
    assert not is_same_backbone(dataclasses.replace(spec, pool="max"), averaged)
