"""Fine-tuning from an encoder that was pre-trained, and from scratch: minutes on two CPU cores.

    ssl3d finetune examples/finetune_hippocampus.py --out runs/hippocampus-tuned
    python examples/finetune_hippocampus.py --out runs/tuned

The first trains from `weights/hippocampus`; the second does so, then from scratch on the same
subjects and crops, and shows both side by side. The four people who are tested on were in no
pre-training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ssl3d import FinetuneSpec, LabelledData, TrainerSpec
from ssl3d_plugins.decoders import UNet
from ssl3d_plugins.waveformer import WaveFormer

HERE = Path(__file__).parent

spec = FinetuneSpec(
    encoder=str(HERE / "weights" / "hippocampus"),
    task={"name": "segmentation", "labels": {"anterior": 1, "posterior": 2}},
    decoder=UNet(below="interpolate"),  # on the encoder's stages alone
    data=LabelledData(
        manifest=HERE / "data" / "hippocampus_labels" / "cases.csv",
        folds=2,  # 0 is tested on, 1 is learned from: the table says who is which
        subjects=5,
        batch_size=4,
        normalise={"name": "zscore"},
        foreground="otsu",
    ),
    patch=(32, 40, 32),
    trainer=TrainerSpec(steps=400, validate_every=400, checkpoint_every=200),
)
scratch = spec.replace(encoder=None, backbone=WaveFormer(widths=(32, 64, 128)))


def main() -> None:
    """Both, and their numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/hippocampus-tuned"))
    parser.add_argument("--steps", type=int, default=spec.trainer.steps)
    given = parser.parse_args()
    import ssl3d

    scores = {
        name: ssl3d.finetune(
            one.with_values({"trainer.steps": given.steps}), out=given.out / name
        ).score
        for name, one in (("from-weights", spec), ("from-scratch", scratch))
    }
    for name, dice in scores.items():
        print(f"{name}: Dice {dice:.3f}")


if __name__ == "__main__":
    main()
