"""The words of docs/evidence.md; its numbers come from the results."""

from __future__ import annotations

from collections.abc import Mapping

from sets import Side

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
hippocampus set). The atria were first looked at when the rate at 400 steps had been chosen; arms
that were added later are a second look at the same cases. `inner`: what choices are made on.
`pool`: encoders are pre-trained on it alone, without labels, inner and final cases never;
labelled subjects are drawn from it. The lists are in
[splits.json](../benchmarks/evidence/splits.json).

**Arms.** The network is a WaveFormer of three stages, 32, 64 and 128 wide (cells of 8 voxels). The
base of pre-training is 1,200 steps of 8 crops of 32³, 60 % hidden (`x1`; `x5` and `x20` are so
many times as long). The base of fine-tuning is 400 steps of two crops of 32 × 48 × 48 (hippocampus:
four of 32 × 40 × 32) from 8 (5) labelled subjects, AdamW with a peak of 1e-3, decoder `unet` on
the encoder's stages alone. Each arm changes what its name says
([arms.py](../benchmarks/evidence/arms.py)). A seed fixes labelled subjects, decoder initialisation,
crops and their changes alike for all arms; each encoder was pre-trained once, with seed 0.

**Numbers.** Dice in points, mean over cases and seeds, ± the standard deviation over seeds. Paired
differences, over the seeds that both have, with a 95 % interval for other seeds and other persons
([compare.py](../benchmarks/evidence/compare.py)): with three seeds it is wide, as it should be.
Checkpoints within a pre-training (`-at`) have not decayed their rate yet; encoders at its end have.
"""

S400, S1200, S3600 = (f"scratch-{steps}-lr0.001" for steps in (400, 1200, 3600))
X400, X1200, X3600 = (f"x5-{steps}-lr0.001" for steps in (400, 1200, 3600))

SAID: Mapping[str, tuple[str, str, str, Side]] = {
    "inner_400": ("left_atrium", X400, S400, "inner"),
    "inner_1200": ("left_atrium", X1200, S1200, "inner"),
    "inner_3600": ("left_atrium", X3600, S3600, "inner"),
    "final_400": ("left_atrium", X400, S400, "final"),
    "final_1200": ("left_atrium", X1200, S1200, "final"),
    "final_3600": ("left_atrium", X3600, S3600, "final"),
    "third_1200": ("left_atrium", X400, S1200, "inner"),
    "third_3600": ("left_atrium", X1200, S3600, "inner"),
    "longer": ("left_atrium", S3600, S1200, "inner"),
    "random_frozen": ("left_atrium", "random-frozen", S400, "inner"),
    "frozen": ("left_atrium", "x5-frozen", "random-frozen", "inner"),
    "tenth": ("left_atrium", "x5-tenth-peak", X400, "inner"),
    "hippocampus": ("hippocampus", X400, S400, "inner"),
    "hippocampus_frozen": ("hippocampus", "x5-frozen", "random-frozen", "inner"),
    "hippocampus_random": ("hippocampus", "random-frozen", S400, "inner"),
}
"""Differences that the conclusions name: set, arm, what it is compared with, and side."""

CONCLUSIONS = """## What it says so far

- **On the atria it pays at these lengths.** With 8 labelled cases, an encoder that saw unlabelled
  ones for 6,000 steps brings Dice {inner_400} on the inner cases after 400 steps of fine-tuning and
  {inner_1200} after 1,200. On the final cases it is {final_400} and {final_1200}.
- **It saves steps.** Pre-trained, 400 steps come close to 1,200 from scratch, in both tables.
- Scratch and pre-trained were tuned alike, at 400 steps over three rates with three seeds: 1e-3 is
  the best for both, though to scratch 2e-3 is as good; 4e-3 hurts both. At 1,200 steps both have
  the rate that was best at 400.
- **The encoder counts here.** Frozen with random weights it brings Dice {random_frozen} against
  training all from scratch, after 400 steps; frozen as it was pre-trained, {frozen} against that.
- **A tenth of the peak is too little.** A tenth of the rate from scratch for everything, as public
  code has it, brings {tenth} against the same peak as from scratch, which is the default for that.
- **Not known yet:** whether the difference stays where scratch no longer improves. From 400 to
  1,200 steps both still rise, scratch more. How far longer pre-training goes and what the other
  recipes do stands in the table of choices for the arms that have run, and at the end of the page
  for those that have not. Each encoder was pre-trained once, so its own luck is in no interval.
- The final cases were measured once for the arms that are named there. Further choices are made on
  the inner cases, and what is chosen then gets rows of its own.
"""

FIGURES = """![Dice over steps of fine-tuning](../benchmarks/results/evidence/lengths.png)

![Dice over the length of pre-training](../benchmarks/results/evidence/cost.png)

![Dice over labelled subjects](../benchmarks/results/evidence/labels.png)

Marks are seeds 0, 1 and 2, lines their means. All at the base's rate; 400 steps of fine-tuning
where no other number is given.
"""

STEPS = (400, 1200, 3600)
"""Lengths of fine-tuning that are told on the page."""

TUNED = """### Each at its best rate, on the inner cases

Steps of fine-tuning; of the rates that both sides have run with, seeds 0, 1 and 2.
"""

INNER = """### Choices, on {cases} inner cases

Labelled subjects are drawn from {pool} cases of the pool.
"""

FINAL = """### Final, on {cases} cases that nothing was chosen on
"""

WORST = ""

LENGTHS = """### Pre-training
"""

LEFT = """## Not measured yet

The same command goes on with these. Apart from them: nnU-Net from scratch as a peer, norms over
visible sites against dense ones, Dice at several checkpoints of one pre-training, several
pre-trainings of one kind with other seeds, and anything on a GPU
([gpu.py](../benchmarks/evidence/gpu.py) is prepared for that).
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
