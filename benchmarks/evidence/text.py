"""The words around the tables of docs/evidence.md; its conclusions are in conclusions.py."""

from __future__ import annotations

from collections.abc import Mapping

from arm import ALL

TITLES = {"left_atrium": "Left atrium", "hippocampus": "Hippocampus"}

HEAD = """# Does pre-training pay?

Dice after fine-tuning, from scratch and from encoders that were pre-trained here. This page is
written by `python benchmarks/evidence/page.py` from
[benchmarks/results/evidence](../benchmarks/results/evidence); nothing in its tables is typed in.

**Sets.** Left atrium: 80 gadolinium-enhanced MR volumes of the 2018 Atrial Segmentation Challenge
at 1.25 mm, of which no file is part of this project. It does not say which scans are of one
person, so each case counts as a person: two scans of one may lie on two sides. Published at full
resolution: about 80 Dice with 8 labelled cases, 91.5 with all. Hippocampus: Task04 of the Medical
Segmentation Decathlon (CC-BY-SA 4.0), at 1 mm, split by person.

**Sides.** `pool`: encoders are pre-trained on it alone, without labels; labelled subjects are
drawn from it. `inner`: what choices are made on. `final`: 16 atria, and the 20 validation subjects
of the hippocampus set. No choice was made on these but for one: the default of flips was seen on
the final hippocampi first, with one seed from scratch; the inner cases confirm it below. The atria
were looked at for seven groups of arms, seed by seed as they came: the first arms, when the rate at
400 steps had been chosen; the default's flips; 3,600 steps; `x20`, whose arms were named when one
seed of 3,600 steps was known and nothing of their own; zeroed volumes, the ResUNet and more seeds
of 1,200 steps; 1,200 steps from `x5-again`, named when three seeds of `x5` were known; and 6,000
steps on a GPU, named before anything was known of 3,600, whose pre-training was halved on the day,
to what the card's time allowed. The hippocampi were looked at for 400 and for 1,200 steps, for
zeroed volumes and 20 subjects, and for 75 % hidden, which was named when zeroed volumes were
known. The lists are in [splits.json](../benchmarks/evidence/splits.json).

**Arms.** The network is a WaveFormer of three stages, 32, 64 and 128 wide (cells of 8 voxels).
The base of pre-training is 1,200 steps of 8 crops of 32³, 60 % hidden (`x1`; `x5` and `x20` are
so many times as long), restored by the decoder `spark`. The base of fine-tuning is 400 steps of
two crops of 32 × 48 × 48 (hippocampus: four of 32 × 40 × 32) from 8 (5) labelled subjects, AdamW
with a peak rate of 1e-3, decoder `unet` on the encoder's stages alone. Each arm changes what its
name says ([arms.py](../benchmarks/evidence/arms.py),
[settings.py](../benchmarks/evidence/settings.py)); recipes are told in
[finetuning.md](finetuning.md). A seed fixes labelled subjects, decoder initialisation, crops and
flips alike for all arms; encoders were pre-trained with seed 0 where no other is named, those of
random weights too. Crops of fine-tuning are flipped left to right alone, as is the default; the
first arms flipped all axes, end with `-all-flips` and stand apart. Crops of pre-training are
flipped along all axes. Arms that end with `-at` and a number start from that step of a
pre-training, whose rate has not decayed by then. Arms that begin with `gpu-` ran on one H200, in
bf16, and all others on CPUs, in single precision: 6,000 steps, from scratch and from `gpu`, which
saw as many crops as `x20` in 6,000 steps of 32 ([gpu.py](../benchmarks/evidence/gpu.py)).

**Numbers.** Dice in points, mean over cases and over the seeds of the row, ± the standard
deviation over seeds. Differences are paired over the seeds that both have, and mean over persons,
of whom some have two hippocampi: rows need not subtract. Their 95 % intervals are for other seeds
and other persons ([compare.py](../benchmarks/evidence/compare.py)): with three seeds they are
wide, as they should be, and with fewer none is shown; -0.0 is below 0. Runs shared their cores
with others, which Dice does not mind; [times.py](../benchmarks/evidence/times.py) measured times
when nothing else ran, whose repetitions and sittings differ by up to a fourth, and what a ResUNet
or the decoder `unet` take is told from runs that shared them. Results of the first sitting name no
commit; their flips were written into them later, and checked against the specs of their runs.
"""

FIGURES: Mapping[str, str] = {
    "lengths.png": "Dice over steps of fine-tuning",
    "cost.png": "Dice over the length of pre-training",
    "labels.png": "Dice over labelled subjects",
    "course.png": "Dice over the time of pre-training, visible and zeroed",
}
"""Pictures and what they show."""

MARKS = """Open marks are seeds, filled ones their means: seeds 0, 1 and 2, in the last figure 0 to
3. All at the base's rate; 400 steps of fine-tuning and inner cases where nothing else is said.
"""

STEPS = (400, 1200, 3600)
"""Lengths of fine-tuning that are told on the page."""

FLIPS = {"": "left to right", ALL: "all axes"}
"""Flips, by the end of an arm's name."""

TUNED = """### Each at its best rate, on the inner cases

Steps of fine-tuning; of the rates that both sides have run with, seeds 0, 1 and 2.
"""

INNER = """### Choices, on {cases} inner cases of {persons} persons

Labelled subjects are drawn from {pool} persons of the pool.
"""

FINAL = """### Final, on {cases} cases of {persons} persons
"""

WORST = """![Worst final hippocampi](../benchmarks/results/evidence/worst.png)

The three on which scratch is worst, as seed 0 segments them
([worst.py](../benchmarks/evidence/worst.py)): the sagittal slice in which most is labelled,
anterior solid, posterior dashed, Dice of the volume. hippocampus_173 looks better with `x5` and
has less Dice, which is of slices that are not shown. The picture is made of images of Task04 and
has their licence, CC-BY-SA 4.0.
"""

APART = """### The first arms, with flips of all axes, on the {side} cases
"""

PROBED = """### Frozen features, read without training a network

`ssl3d probe` ([probes.py](../benchmarks/evidence/probes.py)): a linear map, and the 20 nearest
neighbours, fitted on a crop of each case of the labelled subjects and measured on one of each
inner case, all centred on what is labelled. Seeds 0 to 5 draw the subjects, and the random weights.
Dice of crops is not comparable with that of volumes above.
"""

LENGTHS = """### Pre-training

The loss on held-out volumes is a share of that of the trivial prediction; other targets and
ratios are other tasks, so it compares encoders of one task alone.
"""

PEER = """### A peer: nnU-Net from scratch

On the inner hippocampi, from the same 5 labelled subjects. Plans, network, augmentation, loss and
schedule are nnU-Net's own ([nnunet.py](../benchmarks/evidence/nnunet.py)), cut to {steps} steps,
{share:.2f} % of its 250,000, so that it ends in about the time of pre-training and fine-tuning
`x5`: {minutes:.0f} core minutes a seed with prediction, its preprocessing apart. Its network has
hardly begun by then, so this tells a default's first minutes and nothing of nnU-Net as it is meant
to be used. Everything differs between the rows. It mirrors along all axes, also the one that tells
the two labels apart, which was not tested on it; seeds 0 and 2 call nearly everything one of them,
so the mean stands for no seed: {each} Dice. Published, from 1,000 epochs on 260 labelled volumes,
on other cases: 90 and 89 Dice for the two labels (arXiv 1809.10486).
"""

LEFT = """## Not measured yet

On the GPU seed 2 of `gpu-pretrained` ended at its first step, by a fault that is mended since, and
the card's time was over. Not planned: the other changes one at a time on ResUNet and on the
hippocampus. Named and not run, for nothing above rests on them; the same command goes on with
these, in minutes of the faster processor below, of which the slower took three times as many:
"""

END = """## Again

    python benchmarks/evidence/run.py --budget
    python benchmarks/evidence/run.py --data DIR --work DIR
    python benchmarks/evidence/run.py --data DIR --work DIR --final
    python benchmarks/evidence/nnunet.py --data DIR --work DIR
    python benchmarks/evidence/page.py

The first prints what is left, in core minutes. Arms that have finished are kept, so add
`--results DIR` to run what is committed again; two processes beside each other share the rest.
Where arms of a committed pre-training are left and its folder is not there, it is made again, and
refused where another encoder comes out, as on another processor; `x5` of the hippocampus ships.
Ran on: {machine}.
"""
