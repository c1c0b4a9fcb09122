"""What bounds a run, in one word and one sentence."""

from typing import NamedTuple

from embedder.stages import NAMES, Seconds

_BUSY = 0.8
"""With this share of all cores' time used, the processor is what there is too little of."""


class Explanation(NamedTuple):
    """What bounds a run.

    Attributes:
        stage: `read`, `decode`, `infer` or `write`.
        advice: One sentence with figures.
    """

    stage: str
    advice: str


_BUSY_WITH = {
    "read": "Reading took {share:.0%} of the processor's time: tar shards or a local disk would help most.",
    "decode": "Decoding took {share:.0%} of the processor's time: smaller originals would help more than a faster"
    " backbone.",
    "infer": "The network took {share:.0%} of the processor's time: a smaller backbone or a faster device would help"
    " more than smaller originals.",
    "write": "Writing took {share:.0%} of the processor's time: a backbone with fewer dimensions would help most.",
}
_WAITED_FOR = {
    "read": "The run waited for reading {share:.0%} of its time while cores were idle: a faster disk or network would"
    " help most.",
    "decode": "The run waited for decoding {share:.0%} of its time while cores were idle: smaller originals would"
    " help most.",
    "infer": "The run waited for the network {share:.0%} of its time: a faster device or a smaller backbone would help"
    " most.",
    "write": "The run waited for the disk {share:.0%} of its time: a faster disk for --out would help most.",
}


def explain(waited: Seconds, cpu: Seconds, *, seconds: float, cores: int) -> Explanation:
    """Name the stage that bounds a run.

    Args:
        waited: Seconds that the run waited for each stage.
        cpu: Seconds of the processor that each took.
        seconds: How long the run was, > 0.
        cores: Cores that it had.

    Returns:
        Where the cores were busy, the stage that took most of their time; else the one that was waited for most.

    >>> busy = Seconds(read=0.1, decode=7.1, infer=2.5, write=0.3)
    >>> explain(Seconds(decode=3.0), busy, seconds=5.0, cores=2).advice[:45]
    "Decoding took 71% of the processor's time: sm"
    """
    used = {name: getattr(cpu, name) for name in NAMES}
    waits = {name: getattr(waited, name) for name in NAMES}
    is_busy = sum(used.values()) >= _BUSY * cores * seconds
    told, figures, whole = (_BUSY_WITH, used, sum(used.values())) if is_busy else (_WAITED_FOR, waits, seconds)
    stage = max(figures, key=lambda name: figures[name])
    return Explanation(stage, told[stage].format(share=min(1.0, figures[stage] / max(whole, 1e-9))))
