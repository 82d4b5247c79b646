"""Two sequences of a visit, registered to one grid: each restores both. No published recipe.

Masked modelling as SparK's (arXiv 2301.03580), whose shares and target it has; what is added is the
partner beside what is restored. Nothing here was tuned.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/pair.py --out runs/pair
"""

import os

from ssl3d import ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.data.intensity_spec import Percentile
from ssl3d.data.spec import DataSpec
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.views import Pair
from ssl3d_plugins.waveformer import WaveFormer

spec = ExperimentSpec(
    backbone=WaveFormer(),  # sees one volume, whichever of the two
    views=Pair(),
    masker=Random(ratio=0.6),
    losses=MSE(),
    target="patch_normalised",  # sequences have no intensities in common
    decoder=Spark(head_stride=8),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        # BIDS names, such as sub-01_ses-2_T1w.nii.gz: of a visit, and of a person.
        visit_by=r"(sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?)_",
        group_by=r"(sub-[A-Za-z0-9]+)",
        patch=96,
        batch_size=2,  # pairs: four crops are encoded
        normalise=Percentile(),
        flips=(False, False, True),
    ),
    optimizer=OptimizerSpec(lr=3e-4, weight_decay=0.05),
    trainer=TrainerSpec(steps=100_000, precision="bf16"),
)
