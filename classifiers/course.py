"""How a network is fine-tuned."""

import dataclasses

from classifiers.terms import Network
from features import InputError

SCHEDULES = ("cosine", "constant")


@dataclasses.dataclass(frozen=True)
class Course:
    """How a network is fine-tuned: Adam, a rate that may warm up and fall, early stopping.

    Attributes:
        epochs: How often it sees the training images at most.
        learning_rate: The highest, > 0.
        schedule: `cosine`: the rate warms up, then falls as a cosine does; `constant`: it stays.
        batch_size: Images a step.
        patience: After how many epochs without a gain on the validation images it stops.
        augments: Whether images are flipped, cropped and coloured at random while it learns.
        caches: Whether what the frozen part makes of the images is kept on disk.
        hidden: Hidden layers of a new head that takes the probe's place; None to begin from the probe.
        seed: For order, augmentation and a new head.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch_size: int = 32
    patience: int = 5
    augments: bool = True
    caches: bool = False
    hidden: Network | None = None
    seed: int = 0
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        whole = {"--epochs": self.epochs, "--batch-size": self.batch_size, "--patience": self.patience}
        for option, value in whole.items():
            if value < 1:
                raise InputError(f"{option} is {value}; it is at least 1.", mend=f"Use for example {option} 10")
        if not 0 < self.learning_rate < 1:
            raise InputError(
                f"The learning rate is {self.learning_rate}; it lies between 0 and 1.",
                mend="Use for example --learning-rate 1e-4",
            )
        if self.schedule not in SCHEDULES:
            raise InputError(f"Unknown schedule: {self.schedule}.", mend=f"Use one of: {', '.join(SCHEDULES)}.")
        if self.augments and self.caches:
            raise InputError(
                "What is kept of the frozen part is kept of each image as it is: it can't be augmented.",
                mend="Give --cache together with --no-augment, or neither.",
            )
