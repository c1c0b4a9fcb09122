r"""Recipe 2: VGG16 with its last block unfrozen under Flatten, Dense(256, relu) and a softmax.

Usage: python examples/recipe2.py IMAGES [--backbone HANDLE] [--out FOLDER]; IMAGES holds one folder a class.

The same as one command:

    $ frieze finetune IMAGES --backbone keras:VGG16 --layer block5_pool:flatten --unfreeze block5_conv1 \
          --layers 256 --learning-rate 1e-4 --out my.model

Run again to resume. The figures stand beside those of a linear probe on the frozen backbone.
"""

import argparse
import sys
from pathlib import Path

import frieze

BACKBONE = "keras:VGG16"


def main() -> None:
    """Fine-tune, and print the accuracy of the model and of the probe on held-out images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--weights", help="imagenet, random, or a file")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--layer", default="block5_pool:flatten")
    parser.add_argument("--unfreeze", default="block5_conv1")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("recipe2-out"))
    options = vars(parser.parse_args())

    out = options.pop("out") / "images.model"
    tuned = frieze.finetune(options.pop("images"), out=out, layers="256", learning_rate=1e-4, force=True, **options)
    low, high = tuned["confidence_interval"]
    print(f"accuracy {tuned['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {tuned['n_test']} held-out images")
    print(f"of a linear probe on the frozen backbone: {tuned['probe_accuracy']:.3f}")


if __name__ == "__main__":
    try:
        main()
    except frieze.InputError as error:
        sys.exit(f"Error: {error}")
