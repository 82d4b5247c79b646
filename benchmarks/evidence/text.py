"""The words around the tables of docs/evidence.md; its conclusions are in conclusions.py."""

from __future__ import annotations

from collections.abc import Mapping

from arms import ALL

TITLES = {"left_atrium": "Left atrium", "hippocampus": "Hippocampus"}

HEAD = """# Does pre-training pay?

Dice after fine-tuning, from scratch and from encoders that were pre-trained here. This page is
written by `python benchmarks/evidence/page.py` from
[benchmarks/results/evidence](../benchmarks/results/evidence); nothing in its tables is typed in.
Everything ran beside other work on shared cores: Dice does not mind, and so no times are given.

**Sets.** Left atrium: 80 gadolinium-enhanced MR volumes of the 2018 Atrial Segmentation Challenge
at 1.25 mm, of which no file is part of this project. It does not say which scans are of one
person, so each case counts as a person: two scans of one may lie on two sides. Hippocampus:
Task04 of the Medical Segmentation Decathlon (CC-BY-SA 4.0), at 1 mm, split by person.

**Sides.** `final`: no choice is made on these (16 atria; the 20 validation subjects of the
hippocampus set). The atria were looked at four times: for the first arms, when the rate at 400
steps had been chosen; for the default's flips; for 3,600 steps; and for `x20`, whose arms were
named when one seed of 3,600 steps was known and nothing of their own. One choice had been made on
the final hippocampi, with one seed from scratch: the default of flips, which the inner cases
confirm below.
`inner`: what choices are made on. `pool`: encoders are pre-trained on it alone, without labels,
inner and final cases never; labelled subjects are drawn from it. The lists are in
[splits.json](../benchmarks/evidence/splits.json).

**Arms.** The network is a WaveFormer of three stages, 32, 64 and 128 wide (cells of 8 voxels).
The base of pre-training is 1,200 steps of 8 crops of 32³, 60 % hidden (`x1`; `x5` and `x20` are
so many times as long). The base of fine-tuning is 400 steps of two crops of 32 × 48 × 48
(hippocampus: four of 32 × 40 × 32) from 8 (5) labelled subjects, AdamW with a peak of 1e-3,
decoder `unet` on the encoder's stages alone. Each arm changes what its name says
([arms.py](../benchmarks/evidence/arms.py), [settings.py](../benchmarks/evidence/settings.py)). A
seed fixes labelled subjects, decoder initialisation, crops and their changes alike for all arms;
encoders were pre-trained with seed 0 where no other is named. Crops of fine-tuning are flipped
left to right alone, as is the default; the first arms flipped all axes, and end with `-all-flips`.
The rate was chosen with these, after 400 steps. Crops of pre-training are flipped along all axes.

**Numbers.** Dice in points, mean over cases and over the seeds of the row, ± the standard deviation
over seeds. Differences are paired over the seeds that both have, and mean over persons, of whom
some have two hippocampi: rows need not subtract. Their 95 % intervals are for other seeds and other
persons ([compare.py](../benchmarks/evidence/compare.py)): with three seeds they are wide, as they
should be, and with fewer none is shown. Results of the first sitting name no commit; their flips
were written into them later, and checked against the specs of their runs.
Checkpoints within a pre-training (`-at`) have not decayed their rate yet; encoders at its end have.
"""

FIGURES: Mapping[str, str] = {
    "lengths.png": "Dice over steps of fine-tuning",
    "cost.png": "Dice over the length of pre-training",
    "labels.png": "Dice over labelled subjects",
    "course.png": "Dice over the time of pre-training, visible and zeroed",
}
"""Pictures and what they show."""

MARKS = """Open marks are seeds 0, 1 and 2, filled ones their means. All at the base's rate; 400
steps of fine-tuning where no other number is given.
"""

STEPS = (400, 1200, 3600)
"""Lengths of fine-tuning that are told on the page."""

FLIPS = {"": "left to right", ALL: "all axes"}
"""Flips, by the end of an arm's name."""

TUNED = """### Each at its best rate, on the inner cases

Steps of fine-tuning; of the rates that both sides have run with, seeds 0, 1 and 2.
"""

INNER = """### Choices, on {cases} inner cases

Labelled subjects are drawn from {pool} cases of the pool.
"""

FINAL = """### Final, on {cases} cases
"""

LENGTHS = """### Pre-training
"""

LEFT = """## Not measured yet

The same command goes on with these. Apart from them: nnU-Net from scratch as a peer, norms over
visible sites against dense ones (this network's norms are of each site alone), and anything on a
GPU ([gpu.py](../benchmarks/evidence/gpu.py) is prepared for that).
"""

END = """## Again

    python benchmarks/evidence/run.py --budget
    python benchmarks/evidence/run.py --data DIR --work DIR
    python benchmarks/evidence/run.py --data DIR --work DIR --final
    python benchmarks/evidence/nnunet.py --data DIR --work DIR
    python benchmarks/evidence/page.py

The first prints what is left, in core minutes. Arms that have finished are kept, so add
`--results DIR` to run what is committed again; two processes beside each other share the rest.
Ran on: {machine}.
"""
