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
    """Embed, train, and print the accuracy of the SVM on held-out images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--out", type=Path, default=Path("recipe3-out"))
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    frieze.embed(options.images, backbone=options.backbone, out=options.out / "images.features")
    trained = frieze.train(options.out / "images.features", head="svm", out=options.out / "images.head", force=True)
    low, high = trained["confidence_interval"]
    print(f"accuracy {trained['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {trained['n_test']} held-out images")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
