"""WaveFormer (arXiv 2503.23764) pre-trained with mask-in-mask (arXiv 2404.15580) on CT.

"The paper" below is that of mask-in-mask; "its code" is what the authors have published.

SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/waveformer_mim.py --out runs/waveformer
"""

import os

from ssl3d import ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.data.intensity_spec import CTWindow
from ssl3d.data.spec import DataSpec, ForegroundSpec
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.losses import MSE, InfoNCE
from ssl3d_plugins.maskers import MiM
from ssl3d_plugins.views import Nested
from ssl3d_plugins.waveformer import WaveFormer

spec = ExperimentSpec(
    # In place of the paper's hybrid of convolutions and attention. WaveFormer's own paper trains
    # it with labels; preset="paper" would be its attention windows.
    backbone=WaveFormer(widths=(48, 96, 192, 384)),
    # The paper has three levels: half of 8 octants of 192³, 60 % of the 216 cells of 16³ in a crop
    # of 96³, and half of what is inside a hidden cell, magnified to 96³. With one crop of 96³ and
    # no magnified cells two levels are left. The outer one takes the 60 % of the paper's crops, on
    # blocks of 32³ (27 of them), the inner one the half of its finest level, on their cells of 16³.
    # "nested" encodes twice, the paper 21 times. No comparison chose these shares.
    masker=MiM(global_ratio=0.6, local_ratio=0.5),
    views=Nested(),
    losses=[
        MSE(),
        # The paper aligns a crop with its place in the parent crop, by 0.1. Within one crop it is
        # the stages that are aligned. Its code has no temperature, and the mode that its published
        # script runs has no negatives; 0.1 is this project's default and was not tuned.
        InfoNCE(weight=0.1, temperature=0.1),
    ],
    target="patch_normalised",  # as in the paper
    # SparK's light decoder in place of the paper's own. It goes up to stride 8 and ends in a
    # linear map to voxels, since decoding further costs more than the visible encoder.
    decoder=Spark(head_stride=8),
    data=DataSpec(
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        # The paper cuts crops of 192³ and encodes 96³ at each level; here a crop is one 96³.
        patch=96,
        # Small enough for one GPU. The published script accumulates 64 steps, each of one volume
        # with four inner crops on each GPU: trainer.accumulate does the same here.
        batch_size=2,
        normalise=CTWindow(lower=-1000, upper=1000),
        # Its code crops anywhere; a crop of an eighth of the size would often hold only air then.
        foreground=ForegroundSpec(share=0.8),
        flips=(False, False, False),  # its code does not flip
    ),
    optimizer=OptimizerSpec(
        # The paper's rate for 256 crops, to be scaled with their number. It stands unscaled here:
        # for 2 crops a step the rule would give 8e-7.
        lr=1e-4,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        warmup=40 / 800,
        clip=1.0,  # the default here, against single bad crops; its code does not clip
    ),
    # 800 epochs in the paper; steps do not depend on how many volumes there are. Half precision
    # with scaled gradients in its code: precision="16".
    trainer=TrainerSpec(steps=100_000, precision="bf16"),
)
