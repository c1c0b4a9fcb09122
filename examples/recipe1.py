"""Recipe 1: a frozen hub backbone under Dense(128, relu) and a softmax; only the head is trained.

Usage: python examples/recipe1.py IMAGES [--backbone HANDLE] [--out FOLDER]; IMAGES holds one folder a class.

The images go through the backbone once, whatever is trained on their vectors later. The same as two commands:

    $ frieze embed IMAGES --backbone https://tfhub.dev/google/imagenet/resnet_v2_50/feature_vector/5 --out my.features
    $ frieze train my.features --head keras --out my.head

recipe1_keras.py is the same as one Keras model.
"""

import argparse
import sys
from pathlib import Path

import frieze

BACKBONE = "https://tfhub.dev/google/imagenet/resnet_v2_50/feature_vector/5"


def main() -> None:
    """Embed, train, and say how good the head is on images that it never saw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--out", type=Path, default=Path("recipe1-out"))
    asked = parser.parse_args()

    asked.out.mkdir(parents=True, exist_ok=True)
    frieze.embed(asked.images, backbone=asked.backbone, out=asked.out / "images.features")
    trained = frieze.train(asked.out / "images.features", head="keras", out=asked.out / "images.head", force=True)
    low, high = trained["confidence_interval"]
    print(f"accuracy {trained['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {trained['n_test']} held-out images")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
