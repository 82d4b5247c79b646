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
    loss = InfoNCE(negatives="batch", samples=40, width=5).build(stages=STAGES).double()
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
    result = loss(output.step, generator=torch.Generator().manual_seed(0))
    result["loss"].backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in loss.parameters()])
    return torch.cat([result["loss"].detach()[None], result["top1"][None], gradient])


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        # What data-parallel training does: gradients are averaged over ranks.
        values = torch.stack([step([rank], training=training) for training in (True, False)])
        dist.all_reduce(values)
        if rank == 0:
            torch.save(values / 2, f"{folder}/values.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch is built without distributed")
def test_two_ranks(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    training, evaluation = torch.load(tmp_path / "values.pt", weights_only=True)
    torch.testing.assert_close(training, step([0, 1], training=True))
    # In evaluation each rank keeps to itself.
    apart = [step([rank], training=False) for rank in (0, 1)]
    torch.testing.assert_close(evaluation, (apart[0] + apart[1]) / 2)
    assert not torch.allclose(training, evaluation)
