"""The quick start: a small WaveFormer on 48 crops of T1-weighted MR, minutes on two CPU cores.

Run it with `ssl3d pretrain examples/hippocampus.py --out runs/hippocampus`.
"""

from pathlib import Path

from ssl3d import DataSpec, ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.plugin.spec_part import DecoderSpec
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.waveformer import WaveFormer

VOLUMES = Path(__file__).parent / "data" / "hippocampus"

spec = ExperimentSpec(
    backbone=WaveFormer(widths=(32, 64, 128)),  # three stages: cells of 8 voxels
    masker=Random(ratio=0.7),
    losses=MSE(),
    decoder=DecoderSpec(width=64, head_stride=4),
    data=DataSpec(
        volumes=VOLUMES,
        group_file=VOLUMES / "subjects.json",  # both hemispheres of a person on one side
        holdout=0.2,
        patch=32,
        batch_size=16,
        workers=1,
    ),
    optimizer=OptimizerSpec(lr=1e-3),
    trainer=TrainerSpec(steps=600, validate_every=200, checkpoint_every=200),
)
