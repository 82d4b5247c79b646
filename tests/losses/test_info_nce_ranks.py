"""`negatives="batch"` over two ranks is one process with the whole batch."""

import pytest
import torch
import torch.distributed as dist
from loss_outputs import make_output, sparse_stages

from ssl3d.geometry import Stage
from ssl3d_plugins.losses import InfoNCE

STAGES = (Stage((1, 1, 1), 3), Stage((2, 2, 2), 4))
HIDDEN = torch.tensor([[True, True, False], [False, False, True]]).view(2, 1, 1, 3)


def step(samples, *, training):
    """Loss and parameter gradients for these samples of a batch of two, with 1 and 2 cells."""
    torch.manual_seed(0)
    loss = InfoNCE(negatives="batch", samples=1000, width=5).build(stages=STAGES).double()
    loss.train(training)
    whole = make_output([HIDDEN], cell=(4, 4, 4))
    features = [stage.features.detach() for stage in sparse_stages(whole, STAGES)]
    owner = whole.cells.cell_coordinates[:, 0]
    mine = (owner[:, None] == torch.tensor(samples)).any(1)
    part = make_output([HIDDEN[samples]], cell=(4, 4, 4), volume=whole.volume[samples])
    stages = [
        stage.with_features(feature[mine])
        for stage, feature in zip(sparse_stages(part, STAGES), features, strict=True)
    ]
    output = make_output(
        [HIDDEN[samples]], cell=(4, 4, 4), volume=whole.volume[samples], stages=stages
    )
    result = loss(output, generator=torch.Generator().manual_seed(0))
    result["loss"].backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in loss.parameters()])
    return torch.cat([result["loss"].detach()[None], result["top1"][None], gradient])


def work(rank, folder, training):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        values = step([rank], training=training)
        # What data-parallel training does: gradients are averaged over ranks.
        dist.all_reduce(values)
        if rank == 0:
            torch.save(values / 2, f"{folder}/values.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch is built without distributed")
@pytest.mark.parametrize("training", [True, False])
def test_two_ranks(tmp_path, training):
    torch.multiprocessing.spawn(work, (str(tmp_path), training), nprocs=2)
    ranks = torch.load(tmp_path / "values.pt", weights_only=True)
    if training:
        expected = step([0, 1], training=True)
    else:  # in evaluation each rank keeps to itself
        expected = (step([0], training=False) + step([1], training=False)) / 2
    torch.testing.assert_close(ranks, expected)
