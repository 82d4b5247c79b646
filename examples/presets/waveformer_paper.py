"""WaveFormer's whole published network (arXiv 2503.23764), encoder and decoder, pre-trained.

The paper trains it with labels alone, on the four sequences of BraTS 2023. What is its own here is
the network; how much is hidden, the loss and the length of training are a masked auto-encoder's
(arXiv 2111.06377). "The public code" is github.com/mahfuzalhasan/WaveFormer.

    SSL3D_VOLUMES=folder ssl3d pretrain examples/presets/waveformer_paper.py --out runs/waveformer

Fine-tune with the same decoder, `decoder: waveformer`; then it is the published network of 17.17
million parameters.
"""

import os

from ssl3d import ExperimentSpec, OptimizerSpec, TrainerSpec
from ssl3d.data.spec import DataSpec, ForegroundSpec
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.waveformer import WaveFormer, WaveFormerUNet

PATCH = 128

spec = ExperimentSpec(
    # Widths, depths and heads are the defaults, which are the paper's. It is the mended form: the
    # description of `published` lists eight ways in which the public code does otherwise. Give
    # published=True for weights of the authors.
    backbone=WaveFormer(
        preset="paper",
        image=PATCH,  # windows of 8³ tokens
        drop_path=0.1,
        output_norm=True,  # one of the eight, kept: the decoder's blocks were meant for it
    ),
    # As in MAE, a quarter is shown: cells of 16³ voxels, 128 of a crop's 512.
    masker=Random(ratio=0.75, block=1),
    losses=MSE(),
    target="patch_normalised",
    # Without refinement of the details, as the best model of the paper. It takes 24 times the
    # operations of the whole encoder, so that little is saved by hiding; decoder="spark" is the
    # light way, and leaves this decoder to fine-tuning.
    decoder=WaveFormerUNet(),
    data=DataSpec(
        # One volume for each sample. For four sequences, as in the paper, give `channels` in place
        # of `volumes`.
        volumes=os.environ.get("SSL3D_VOLUMES", "volumes"),
        patch=PATCH,
        batch_size=2,  # in the public code 4 on each of two devices
        normalise="zscore",  # over what Otsu's threshold finds; there over voxels that are not 0
        spacing=1.0,  # mm
        foreground=ForegroundSpec(share=0.8),
        flips=(True, True, True),
    ),
    optimizer=OptimizerSpec(
        lr=1e-4,  # constant in the public code, whose weight decay is 0.01
        weight_decay=0.05,
        betas=(0.9, 0.95),
        warmup=0.05,
    ),
    trainer=TrainerSpec(steps=100_000, precision="bf16"),
)
