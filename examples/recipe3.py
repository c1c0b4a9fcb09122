"""Recipe 3: features from a hub backbone, a linear SVM on them, and an accuracy on held-out images.

Usage: python examples/recipe3.py IMAGES [--backbone HANDLE] [--out FOLDER]; IMAGES holds one folder a class.

The same as two commands (the side of 299 pixels is known for this module):

    $ frieze embed IMAGES --backbone https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5 --out my.features
    $ frieze train my.features --head svm --out my.head
"""

import argparse
import sys
from pathlib import Path

import frieze

BACKBONE = "https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5"


def main() -> None:
    """Embed, train, and say how good the SVM is on images that it never saw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--out", type=Path, default=Path("recipe3-out"))
    asked = parser.parse_args()

    asked.out.mkdir(parents=True, exist_ok=True)
    frieze.embed(asked.images, backbone=asked.backbone, out=asked.out / "images.features")
    trained = frieze.train(asked.out / "images.features", head="svm", out=asked.out / "images.head", force=True)
    low, high = trained["confidence_interval"]
    print(f"accuracy {trained['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {trained['n_test']} held-out images")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
