#!/usr/bin/env bash
# Everything that ssl3d claims of a GPU, in one call. From anywhere:
#
#   bash benchmarks/gpu/gpu_check.sh                       on a machine with an NVIDIA GPU
#   DEVICE=cpu TINY=1 bash benchmarks/gpu/gpu_check.sh     a dry run without one
#
#   BUDGET   seconds for everything; parts that do not fit any more are left out (default 450)
#   CALL     1 or 2 (default 1): everything takes two calls, the first with what matters most
#   PARTS    which parts, in which order, in place of those of the call
#   PYTHON   the interpreter (default python3)
#   OUT      folder of results.json, summary.txt, log.txt (default build/gpu/out)
#   WHEELS   folder of wheels for the part `install` (default build/gpu/wheels; see README.md)
#   SITE     where that part puts them, to be found again by a later call (default build/gpu/site)
#   EXTRA_PATH   further folders on the path, such as an environment without ssl3d's own entry points
#
# Each part has its own limit and is a process of its own; a failure is noted and the next part goes
# on. After each part what lies in OUT is complete as far as it got. The exit status is the number
# of parts that failed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here
until [ -f "$root/pyproject.toml" ]; do
    [ "$root" != / ] || { echo "no pyproject.toml above $here: copy this folder into the project"; exit 1; }
    root=$(dirname "$root")
done
cd "$root" || exit 1
BUDGET=${BUDGET:-450} DEVICE=${DEVICE:-cuda} TINY=${TINY:-}
case ${CALL:-1} in
1) parts="install env ceilings wave res tests train layers waits" ;;
2) parts="env leak triton loader compile res_more wave_more runs doctor bench_step spconv minkowski bench_conv" ;;
*) echo "CALL is 1 or 2"; exit 1 ;;
esac
PARTS=${PARTS:-$parts}
OUT=${OUT:-$root/build/gpu/out} WHEELS=${WHEELS:-$root/build/gpu/wheels} SITE=${SITE:-$root/build/gpu/site}
py=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$OUT"
: > "$OUT/log.txt"
: > "$OUT/summary.txt"
export PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore MPLBACKEND=Agg NO_COLOR=1 COLUMNS=150
export TRITON_CACHE_DIR="$work/triton" PYTHONPATH="$SITE:$root${EXTRA_PATH:+:$EXTRA_PATH}"
bench=("$py" "$here/gpu_bench.py")
common=(--device "$DEVICE" --out "$work/parts" ${TINY:+--tiny --rounds 1})
failed=0
say() { echo "$*" | tee -a "$OUT/summary.txt"; }

part() { # part NAME LIMIT COMMAND...
    local name=$1 limit=$2 left begun=$SECONDS rc
    shift 2
    left=$((BUDGET - SECONDS))
    if [ "$left" -lt 12 ]; then say "-- $name: left out, $left s left"; return; fi
    [ "$limit" -gt "$left" ] && limit=$left
    echo "=== $name (limit $limit s, at $SECONDS s)" >> "$OUT/log.txt"
    # Into a file, not a pipe: what a killed part printed stays.
    timeout -k 4 "$limit" "$@" > "$work/$name.out" 2>&1 < /dev/null
    rc=$?
    [ "$rc" -eq 0 ] || failed=$((failed + 1))
    cat "$work/$name.out" >> "$OUT/log.txt"
    say "-- $name: rc $rc, $((SECONDS - begun)) s"
    grep -vE '^\s*$|Warning|warn' "$work/$name.out" | tail -n "${TAIL:-14}" | cut -c1-230 | tee -a "$OUT/summary.txt"
    "$py" "$here/collect.py" "$work" "$OUT/results.json"
}

install() {
    part install 60 "$py" "$here/install.py" "$WHEELS" "$SITE"
}
env_part() {
    part env 30 bash -c '[ "$1" = cpu ] || nvidia-smi; "$0" -V; "$0" -m pip list 2> /dev/null | grep -iE "^(torch|triton|numpy|lightning|pytorch-lightning|nvidia-cudnn|nvidia-cublas|pytest|scipy)"; nproc; uname -r' "$py" "$DEVICE"
}
marked() { # marked NAME LIMIT PICK: tests that are marked gpu, of those that PICK names (-k)
    local n=$(($(nproc) - 2))  # each is a process of its own on the card
    [ "$DEVICE" = cpu ] && n=2
    TAIL=40 SSL3D_TEST_DEVICE=$DEVICE part "$1" "$2" "$py" -m pytest -m gpu tests/gpu tests/maskers -n "$n" -q -r fE --tb=short -p no:cacheprovider --maxfail=60 -k "$3"
}
tests() { # first what a wrong number would show in, then kits
    if [ -n "$TINY" ]; then marked tests 110 "resunet and (repeat or step_is_what) or chosen and one_grid"; return; fi
    marked tests 150 "not test_short_run and not test_a_run and not spconv and not minkowski"
}
runs() { # short runs in every precision, and resumed
    if [ -n "$TINY" ]; then marked runs 60 "goes_on and 32"; return; fi
    marked runs 120 "test_a_short_run or test_a_run"
}
train() { # the quick start as a user would run it on a GPU, then the default backbone at 96³ end to end
    local acc=gpu steps=600 size=(--set data.patch=96 --set data.batch_size=16 --set data.workers=14 --set trainer.steps=80)
    [ "$DEVICE" = cpu ] && acc=cpu
    [ -n "$TINY" ] && steps=6 && size=(--set data.patch=32 --set data.batch_size=2 --set data.workers=0 --set trainer.steps=3)
    part train_hippocampus 60 "$py" -m ssl3d pretrain examples/hippocampus.py --out "$work/runs/hippocampus" --set trainer.accelerator=$acc \
        --set trainer.devices=1 --set trainer.precision=bf16 --set trainer.steps=$steps --set data.workers=6 --set trainer.validate_every=200 --set trainer.checkpoint_every=600
    part train_wave96 45 "$py" -m ssl3d pretrain "$here/tof96.yaml" --out "$work/runs/wave96" --set trainer.accelerator=$acc --set trainer.devices=1 "${size[@]}"
    if [ "$DEVICE" = cuda ]; then # and without CUDA graphs
        part train_one_by_one 45 "$py" -m ssl3d pretrain "$here/tof96.yaml" --out "$work/runs/wave96_one_by_one" --set trainer.accelerator=$acc --set trainer.devices=1 "${size[@]}" --set trainer.cuda_graph=false
    fi
    cp "$work/runs/hippocampus/pictures/losses.png" "$OUT/losses.png" 2> /dev/null || say "-- train: no picture of the losses"
}
project_bench() { # the project's own benchmarks; sparse_conv.py is in float32 only
    local extra=(--batch 32) rounds=7 sizes=()
    if [ -n "$TINY" ]; then extra=(--patch 32 32 32 --batch 1); rounds=1; sizes=(--threads 1); fi
    case $1 in
    step) part bench_step 70 "$py" benchmarks/pretrain_step.py --device "$DEVICE" --bf16 --rounds $rounds --warm-up 3 --hidden 0.6 0.75 --allocators default "${extra[@]}" --out "$work/parts/bench_pretrain_step.json" ;;
    conv) part bench_conv 60 "$py" benchmarks/sparse_conv.py cells $2 --device "$DEVICE" --rounds $rounds --hidden 0.75 --allocators default "${sizes[@]}" --out "$work/parts/bench_sparse_conv.json" ;;
    esac
}
library() { # spconv or minkowski, where it is installed: doctor, then its kit
    local name=$1 module=$2 first=("$py")
    # What MinkowskiEngine links against, for this part alone.
    [ -d "$SITE/lib" ] && first=(env "LD_LIBRARY_PATH=$SITE/lib:${LD_LIBRARY_PATH:-}" "$py")
    if ! "${first[@]}" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)"; then say "-- $name: not installed"; return; fi
    part "doctor_$name" 60 "${first[@]}" -m ssl3d doctor --backend "$name" --device "$DEVICE" --limit 55
    TAIL=30 SSL3D_TEST_DEVICE=$DEVICE part "tests_$name" 60 "${first[@]}" -m pytest tests/gpu/test_gpu_kits.py -k "test_sparse_backends and $name ${TINY:+and one_grid}" \
        -n "$([ "$DEVICE" = cpu ] && echo 2 || echo 4)" -q --tb=line -p no:cacheprovider --maxfail=30
}
triton() { # the fused kernels, cut in several ways
    if ! "$py" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('triton') is None)"; then say "-- triton: not installed"; return; fi
    part triton 80 "$py" "$here/fused_blocks.py" "${common[@]}"
}

wave=(wave96b32 wave96b8 wave96b2) res=(resL160b2) wave_more=(wave128b16) res_more=(resM128b8 resM128b2) waits=(wave96b8 resL160b2) compile=(wave96b8 resL160b2)
if [ -n "$TINY" ]; then wave=(tiny_wave) res=(tiny_res) wave_more=() res_more=() waits=(tiny_wave tiny_res) compile=(tiny_wave); fi
say "ssl3d on $DEVICE, budget $BUDGET s"
for p in $PARTS; do
    case $p in
    install) install ;;
    env) env_part ;;
    ceilings | leak) part "$p" 60 "${bench[@]}" "$p" "${common[@]}" ;;
    wave | res | wave_more | res_more) declare -n names=$p; [ ${#names[@]} -eq 0 ] || TAIL=30 part "$p" 100 "${bench[@]}" step "${names[@]}" "${common[@]}" ;;
    tests) tests ;;
    runs) runs ;;
    train) train ;;
    waits) TAIL=30 part waits 45 "${bench[@]}" waits "${waits[@]}" "${common[@]}" ;;
    layers) part layers 60 "${bench[@]}" layers "${common[@]}" ;;
    triton) triton ;;
    doctor) part doctor 90 "$py" -m ssl3d doctor --device "$DEVICE" --backend cells --backend dense --limit 80 ;;
    spconv) library spconv spconv ;;
    minkowski) library minkowski MinkowskiEngine ;;
    bench_step) project_bench step ;;
    bench_conv) project_bench conv "$("$py" -c "import importlib.util; print('spconv' if importlib.util.find_spec('spconv') else '')")" ;;
    loader) part loader 60 "${bench[@]}" loader "${common[@]}" ;;
    compile) part compile 90 "${bench[@]}" step "${compile[@]}" "${common[@]}" --compile ;;
    *) say "-- $p: unknown"; failed=$((failed + 1)) ;;
    esac
done
if [ -f "$work/table.txt" ]; then
    say "Share of the best dense form in bf16 (eager, channels-last, graph, compiled):"
    say "$(cat "$work/table.txt")"
fi
say "== $SECONDS s of $BUDGET, $failed failed"
exit "$failed"
