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
    """Embed, train, and print the accuracy of the head on held-out images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--out", type=Path, default=Path("recipe1-out"))
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    frieze.embed(options.images, backbone=options.backbone, out=options.out / "images.features")
    trained = frieze.train(options.out / "images.features", head="keras", out=options.out / "images.head", force=True)
    low, high = trained["confidence_interval"]
    print(f"accuracy {trained['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {trained['n_test']} held-out images")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
