"""The words of docs/evidence.md; its numbers come from the results."""

from __future__ import annotations

from collections.abc import Mapping

from arms import ALL
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
that were added later are a second look at the same cases. One choice had been made on the final
hippocampi, with one seed from scratch: the default of flips, which the inner cases confirm below.
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
encoders were pre-trained with seed 0 where no other is named. Crops are flipped left to right
alone, as is the default; the first arms flipped all axes, and end with `-all-flips`.

**Numbers.** Dice in points, mean over cases and seeds, ± the standard deviation over seeds. Paired
differences, over the seeds that both have, with a 95 % interval for other seeds and other persons
([compare.py](../benchmarks/evidence/compare.py)): with three seeds it is wide, as it should be.
Checkpoints within a pre-training (`-at`) have not decayed their rate yet; encoders at its end have.
"""

SAID: Mapping[str, tuple[str, str, str, Side]] = {
    "final_atria": ("left_atrium", "x5", "scratch", "final"),
    "final_hippocampi": ("hippocampus", "x5", "scratch", "final"),
    "longer_atria": ("left_atrium", "x20", "scratch", "final"),
    "longer_more": ("left_atrium", "x20", "x5", "final"),
    "final_1200": ("left_atrium", "x5-1200", "scratch-1200", "final"),
    "longer_1200": ("left_atrium", "x20-1200", "scratch-1200", "final"),
    "final_3600": ("left_atrium", "x5-3600", "scratch-3600", "final"),
    "longer_3600": ("left_atrium", "x20-3600", "scratch-3600", "final"),
    "scratch_1200": ("left_atrium", "scratch-1200", "scratch", "final"),
    "scratch_3600": ("left_atrium", "scratch-3600", "scratch-1200", "final"),
    "third": ("left_atrium", "x5", "scratch-1200", "final"),
    "third_longer": ("left_atrium", "x20-1200", "scratch-3600", "final"),
    "ninth_longer": ("left_atrium", "x20", "scratch-3600", "final"),
    "all_flips_400": ("left_atrium", f"x5{ALL}", f"scratch{ALL}", "final"),
    "all_flips_1200": ("left_atrium", f"x5-1200{ALL}", f"scratch-1200{ALL}", "final"),
    "flips_atria": ("left_atrium", "scratch", f"scratch{ALL}", "inner"),
    "flips_hippocampi": ("hippocampus", "scratch", f"scratch{ALL}", "inner"),
    "all_flips_hippocampi": ("hippocampus", f"x5{ALL}", f"scratch{ALL}", "inner"),
    "random_atria": ("left_atrium", f"random-frozen{ALL}", f"scratch{ALL}", "inner"),
    "frozen_atria": ("left_atrium", f"x5-frozen{ALL}", f"random-frozen{ALL}", "inner"),
    "random_hippocampi": ("hippocampus", f"random-frozen{ALL}", f"scratch{ALL}", "inner"),
    "frozen_hippocampi": ("hippocampus", f"x5-frozen{ALL}", f"random-frozen{ALL}", "inner"),
    "tenth": ("left_atrium", f"x5-tenth-peak{ALL}", f"x5{ALL}", "inner"),
}
"""Differences that the conclusions name: set, arm, what it is compared with, and side."""

CONCLUSIONS = """## What it says so far

- **It pays on both sets.** After 400 steps an encoder that saw unlabelled volumes for 6,000 steps
  (`x5`) brings, on the final cases, {final_atria} with 8 labelled atria and
  {final_hippocampi} with 5 labelled hippocampus subjects. The aim was a lower end above 0
  on both sets, and +3 on both as a stretch.
- **Longer pre-training brings more.** On the atria 24,000 steps (`x20`) bring {longer_more}
  against 6,000, and {longer_atria} against scratch.
- **Longer fine-tuning leaves less of it.** After 1,200 steps {final_1200} from 6,000 steps of
  pre-training and {longer_1200} from 24,000; after 3,600 {final_3600} and {longer_3600}.
  From 400 to 1,200 steps scratch gains {scratch_1200}, from there to 3,600 {scratch_3600}.
  With flips of all axes it was {all_flips_400} after 400 steps and
  {all_flips_1200} after 1,200, both from 6,000.
- **It saves steps.** From 24,000 steps of pre-training, 1,200 of fine-tuning against 3,600 from
  scratch: {third_longer}; 400 against 3,600: {ninth_longer}. From 6,000, 400 against 1,200
  from scratch: {third}. Pre-training is paid once, for all that is fine-tuned from it: 24,000
  of its steps took as long as about 12,000 of fine-tuning.
- **Flips count as much.** Left to right alone in place of all axes brings scratch {flips_atria}
  on the atria and {flips_hippocampi} on the hippocampus. There pre-training made up for what
  these flips cost: {all_flips_hippocampi} with them.
- **What the encoder counts for.** Frozen with random weights it brings {random_atria} on the
  atria against training all from scratch, and {random_hippocampi} on the hippocampus: a set where
  that is within 2 points asks hardly anything of an encoder that is trained from scratch, and
  says little about encoders. Frozen as it was pre-trained it brings {frozen_atria} and
  {frozen_hippocampi} against random weights. These arms have flips of all axes.
- **A tenth of the peak is too little.** A tenth of the rate from scratch for everything, as
  public code has it, brings {tenth} on the atria against the same peak as from scratch, which is
  the default for that. 1e-3 was the lowest of the rates that were compared.
- **Not known yet:** how far longer pre-training goes; other targets, ratios and cells. Each encoder
  was pre-trained once, so its own luck is in no interval.
"""

FIGURES = """![Dice over steps of fine-tuning](../benchmarks/results/evidence/lengths.png)

![Dice over the length of pre-training](../benchmarks/results/evidence/cost.png)

![Dice over labelled subjects](../benchmarks/results/evidence/labels.png)

Open marks are seeds 0, 1 and 2, filled ones their means. All at the base's rate; 400 steps of
fine-tuning where no other number is given.
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
