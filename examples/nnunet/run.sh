#!/usr/bin/env bash
# nnU-Net 2.8.1 on the hippocampus set from weights of ssl3d and from scratch, on two CPU cores.
# Usage: run.sh WORK [DATA [TRAIN OPTIONS]]. DATA has imagesTr and labelsTr, or images and labels;
# without it, or with "", the set is downloaded. ssl3d must be on the path.
#
#   SSL3D_TORCH   the torch requirement of nnU-Net's environment, with pip options if need be
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
work="${1:?usage: run.sh WORK [DATA [TRAIN OPTIONS]]}"
data=(${2:+--data "$2"})
mkdir -p "$work"
work="$(cd "$work" && pwd)"

if [ ! -d "$work/env" ]; then
    python3 -m venv "$work/env"
    # shellcheck disable=SC2086  # the requirement may hold pip options
    "$work/env/bin/pip" install ${SSL3D_TORCH:-torch>=2.4.1,!=2.9.*}
    "$work/env/bin/pip" install --requirement "$here/requirements.txt"
    "$work/env/bin/pip" install --no-deps nnunetv2==2.8.1 dynamic-network-architectures==0.4.4
fi
nnunet() { "$work/env/bin/python" "$here/hippocampus.py" "$@"; }

nnunet prepare --work "$work" "${data[@]}"
plans="$work/preprocessed/Dataset004_Hippocampus/nnUNetResEncUNetMPlans.json"
ssl3d pretrain "$here/pretrain.py" --out "$work/run" --set "backbone.plans=$plans"
ssl3d export "$work/run" --to nnunet --plans "$plans" --out "$work/export"
nnunet train --work "$work" --arm scratch "${@:3}"
nnunet train --work "$work" --arm pretrained --weights "$work/export/nnunet.pth" --rate 1e-3 "${@:3}"
nnunet compare --work "$work"
