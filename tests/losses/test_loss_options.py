"""The losses as components: torch-free options, needs, labels."""

import subprocess
import sys

from ssl3d import ExperimentSpec
from ssl3d.geometry import Stage
from ssl3d.kinds.loss import Loss
from ssl3d_plugins.losses import L1, MSE, InfoNCE, ssl3d_components

STAGES = (Stage((2, 2, 2), 4), Stage((4, 4, 4), 8))


def test_options_need_no_torch():
    code = (
        "import sys; from ssl3d_plugins.losses import ssl3d_components; "
        "[c().needs() for c in ssl3d_components()]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_and_needs():
    needs = {config.component_name(): config().needs() for config in ssl3d_components()}
    assert needs == {"mse": {"restoration"}, "l1": {"restoration"}, "info_nce": {"two_stages"}}


def test_every_loss_builds_and_survives_json():
    for config in (MSE(weight=2, label="a"), L1(), InfoNCE(negatives="batch", samples=16)):
        assert isinstance(config.build(stages=STAGES), Loss)
        assert type(config).model_validate_json(config.model_dump_json()) == config


def test_heads_take_the_widths_of_their_stages():
    loss = InfoNCE(width=7).build(stages=(*STAGES, Stage((8, 8, 8), 16)))
    assert [head[0].in_features for head in loss.query_heads] == [4, 8]
    assert [head[0].in_features for head in loss.key_heads] == [8, 16]
    assert {head[2].out_features for head in (*loss.query_heads, *loss.key_heads)} == {7}


def test_between_stages_is_the_default():
    """Older specs say so."""
    assert InfoNCE.model_validate({"between": "stages", "width": 8}) == InfoNCE(width=8)
    assert InfoNCE.model_validate_json('{"name": "info_nce", "between": "stages"}') == InfoNCE()
    spec = ExperimentSpec(
        data={"volumes": "none", "patch": 32}, losses={"name": "info_nce", "between": "stages"}
    )
    assert spec.losses == (InfoNCE(),)
    assert spec.with_values({"losses.0.between": "stages"}) == spec
