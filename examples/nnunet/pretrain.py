"""Pre-training for nnU-Net on the 48 hippocampus crops that come with ssl3d.

`--set backbone.plans=FILE` makes the backbone the encoder of nnU-Net's plans.
"""

from pathlib import Path

from ssl3d import DataSpec, ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.resunet import ResUNet

VOLUMES = Path(__file__).parents[1] / "data" / "hippocampus"

spec = ExperimentSpec(
    backbone=ResUNet(widths=(32, 64, 128, 256)),
    masker=Random(ratio=0.6),
    losses=MSE(),
    data=DataSpec(
        volumes=VOLUMES,
        group_file=VOLUMES / "subjects.json",  # both hemispheres of a person on one side
        normalise={"name": "zscore"},  # as nnU-Net does
        holdout=0.2,
        patch=(32, 48, 32),
        batch_size=4,
        workers=1,
    ),
    optimizer=OptimizerSpec(lr=1e-3),
    trainer=TrainerSpec(steps=300, validate_every=100, checkpoint_every=100),
)
