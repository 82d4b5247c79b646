"""Files for nnU-Net: by the rules of its own loader, and compared with its own network."""

from __future__ import annotations

import pydoc
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from exported import RESUNET, encoder_of, plans_file
from torch import nn

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.plugin.spec_error import SpecError
from ssl3d.tasks.encoder import describe_encoder
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.resunet.dynamic_network import residual_unet
from ssl3d_plugins.resunet.nnunet_plans import read_plans

needs_networks = pytest.mark.skipif(
    find_spec("dynamic_network_architectures") is None,
    reason="needs nnU-Net's networks: pip install --no-deps dynamic-network-architectures==0.4.4",
)


def network_of(plans: Path, *, channels: int = 1, classes: int = 3) -> nn.Module:
    """What nnU-Net makes of the plans: other classes than the export knew, other random values."""
    planned = read_plans(plans, configuration="3d_fullres")
    with torch.random.fork_rng():
        torch.manual_seed(77)
        return residual_unet(planned.architecture, in_channels=channels, classes=classes)


def load_pretrained(network: nn.Module, weights: dict[str, Any]) -> None:
    """`load_pretrained_weights` of nnU-Net 2.8.1, in other words."""
    own = network.state_dict()
    asked = [name for name in own if ".seg_layers." not in name]
    for name in asked:
        assert name in weights, name
        assert weights[name].shape == own[name].shape
    own.update({name: weights[name] for name in asked})
    network.load_state_dict(own)


@needs_networks
def test_nnunet_takes_every_tensor_and_computes_the_same(tmp_path: Path) -> None:
    plans = plans_file(tmp_path / "plans.json")
    run = encoder_of(RESUNET, out=tmp_path / "run")
    done = ssl3d.export(run, to="nnunet", plans=plans)
    content = torch.load(done.out / "nnunet.pth", weights_only=True)
    assert list(content) == ["network_weights"]
    weights = content["network_weights"]
    network = network_of(plans)
    assert set(weights) == {n for n in network.state_dict() if ".seg_layers." not in n}
    assert any(name.startswith("decoder.encoder.") for name in weights)
    load_pretrained(network, weights)
    encoder = ssl3d.load_encoder(run)
    volume = torch.randn(1, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for mine, theirs in zip(encoder(volume), network.encoder(volume), strict=True):
            torch.testing.assert_close(mine, theirs)
    for name, value in encoder.state_dict().items():
        for alias in (name, f"decoder.{name}"):
            assert torch.equal(weights[alias], value), alias
    notes = "\n".join(done.card["notes"])
    assert "does not turn volumes to RAS" in notes
    assert "[1.0, 1.0, 1.0] there, that of the files in pre-training" in notes


@needs_networks
def test_the_decoder_has_initial_values_that_repeat(tmp_path: Path) -> None:
    plans, run = plans_file(tmp_path / "plans.json"), encoder_of(RESUNET, out=tmp_path / "run")
    state = torch.get_rng_state()
    files = [
        ssl3d.export(run, to="nnunet", out=tmp_path / name, plans=str(plans), seed=seed).out
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert torch.equal(state, torch.get_rng_state())
    a, b, c = (torch.load(f / "nnunet.pth", weights_only=True)["network_weights"] for f in files)
    name = "decoder.stages.0.convs.0.conv.weight"
    assert torch.equal(a[name], b[name])
    assert not torch.equal(a[name], c[name])
    fan_in = a[name][0].numel()
    assert float(a[name].std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.2)  # He et al.


@needs_networks
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_blocks_per_stage": [1, 3, 1]}, r"blocks: \[1, 2, 1\] here, \[1, 3, 1\] there"),
        ({"strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}, "strides: .* here, .* there"),
        ({"conv_bias": False}, "bias: True here, False there"),
    ],
)
def test_another_network_is_refused_in_words(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    plans = plans_file(tmp_path / "plans.json", **changed)
    run = encoder_of(RESUNET, out=tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        ssl3d.export(run, to="nnunet", plans=str(plans))
    assert not list((run / "exports").iterdir())


@needs_networks
def test_other_channels_and_axes(tmp_path: Path) -> None:
    def turned(content: dict[str, Any]) -> None:
        content["transpose_forward"] = [2, 0, 1]

    run = encoder_of(RESUNET, out=tmp_path / "run")
    plans = plans_file(tmp_path / "plans.json", change=turned)
    notes = ssl3d.export(run, to="nnunet", plans=str(plans)).card["notes"]
    assert any("transpose the axes z, y, x to [2, 0, 1]" in note for note in notes)
    two = encoder_of(
        RESUNET, out=tmp_path / "two", volumes=None, channels={"a": "*a.nii", "b": "*b.nii"}
    )
    with pytest.raises(ValueError, match=r"2 channels, now 1: say what .* inputs: repeat, average"):
        ssl3d.export(two, to="nnunet", plans=plans)
    assert not list((two / "exports").iterdir())
    done = ssl3d.export(two, to="nnunet", plans=plans, inputs="average")
    stem = "encoder.stem.convs.0.conv.weight"
    assert f"{stem}: adapted: 2 input channels to 1: average" in done.card["notes"]
    network = network_of(plans)
    load_pretrained(
        network, torch.load(done.out / "nnunet.pth", weights_only=True)["network_weights"]
    )
    volume = torch.randn(1, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # equal inputs give the same response
        both = ssl3d.load_encoder(two)(volume.expand(-1, 2, -1, -1, -1))
        for mine, theirs in zip(both, network.encoder(volume), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_without_nnunets_networks_there_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures.unet", None)
    plans, run = plans_file(tmp_path / "plans.json"), encoder_of(RESUNET, out=tmp_path / "run")
    for to, options in (("nnunet", {"plans": str(plans)}), ("nnssl", {})):
        with pytest.raises(
            ImportError, match="pip install --no-deps dynamic-network-architectures"
        ):
            ssl3d.export(run, to=to, **options)


@needs_networks
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_contract_of_nnssl(tmp_path: Path, norm: str) -> None:
    """Field by field, then as nnU-Net's mainline does: its kwargs, its keys."""
    run = encoder_of({**RESUNET, "norm": norm}, out=tmp_path / "run", spacing=(3.0, 1.0, 1.0))
    done = ssl3d.export(run, to="nnssl")
    content = torch.load(done.out / "nnssl.pth", weights_only=True)
    plan, weights = content["nnssl_adaptation_plan"], content["network_weights"]
    assert set(plan) == {
        "architecture_plans",
        "pretrain_plan",
        "pretrain_num_input_channels",
        "recommended_downstream_patchsize",
        "key_to_encoder",
        "key_to_stem",
        "keys_to_in_proj",
        "key_to_lpe",
    }
    (one,) = plan["pretrain_plan"]["configurations"].values()
    assert one == {"spacing": [3.0, 1.0, 1.0], "patch_size": [16, 16, 16]}
    assert plan["pretrain_num_input_channels"] == 1
    assert plan["recommended_downstream_patchsize"] == [16, 16, 16]
    assert plan["key_to_lpe"] is None
    architecture = plan["architecture_plans"]
    assert architecture["arch_class_name"] == "ResidualEncoderUNet"
    assert architecture["arch_kwargs_requiring_import"] == ["conv_op", "norm_op", "nonlin"]
    arguments = dict(architecture["arch_kwargs"])
    assert arguments["norm_op_kwargs"] == {"eps": 1e-5, "affine": True}
    assert (arguments["dropout_op"], arguments["dropout_op_kwargs"]) == (None, None)
    assert arguments["n_conv_per_stage_decoder"] == [1, 1]
    for name in architecture["arch_kwargs_requiring_import"]:
        arguments[name] = pydoc.locate(arguments[name])
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    network = ResidualEncoderUNet(input_channels=1, num_classes=4, **arguments).eval()
    for key in (plan["key_to_encoder"], plan["key_to_stem"]):
        part = {n[len(key) + 1 :]: v for n, v in weights.items() if n.startswith(f"{key}.")}
        network.get_submodule(key).load_state_dict(part, strict=True)
    stems = [weights[f"{key}.weight"] for key in plan["keys_to_in_proj"]]
    assert torch.equal(stems[0], stems[1])
    volume = torch.randn(1, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for a, b in zip(ssl3d.load_encoder(run)(volume), network.encoder(volume), strict=True):
            torch.testing.assert_close(a, b)
    assert "mainline after 2.8.1" in "\n".join(done.card["notes"])


def spec(**backbone: Any) -> ExperimentSpec:
    return ExperimentSpec(
        backbone={"name": "resunet", **backbone},
        data={"volumes": "nowhere", "patch": (32, 32, 32)},
        losses=["mse"],
    )


def test_a_spec_has_the_network_of_the_plans(tmp_path: Path) -> None:
    plans = plans_file(tmp_path / "plans.json", conv_bias=False)
    made = spec(plans=plans)
    expected = ResUNet(**{k: v for k, v in RESUNET.items() if k != "name"}, bias=False)
    assert made.backbone.plan() == expected.plan()
    assert made.backbone.bias is False
    plans.unlink()  # what is written out has the network itself
    assert ExperimentSpec.from_yaml(made.to_yaml()) == made
    assert made.backbone.plans is None


def test_a_configuration_inherits(tmp_path: Path) -> None:
    plans = plans_file(tmp_path / "plans.json")
    low = spec(plans=str(plans), configuration="3d_low").backbone
    assert low == spec(plans=str(plans)).backbone
    assert read_plans(plans, configuration="3d_low").configuration["spacing"] == [2.0, 2.0, 2.0]


def test_plans_can_be_set(tmp_path: Path) -> None:
    """Also over a size, and over those of another file."""
    one = plans_file(tmp_path / "one.json")
    other = plans_file(tmp_path / "other.json", features_per_stage=[6, 8, 10])
    for before in (spec(plans=str(one)), spec(size="S", norm="batch")):
        after = before.with_values({"backbone.plans": str(other)})
        assert after.backbone.widths == (6, 8, 10)


def test_what_is_given_beside_plans_must_agree(tmp_path: Path) -> None:
    plans = str(plans_file(tmp_path / "plans.json"))
    assert spec(plans=plans, kernels=[3, 3, 3]).backbone == spec(plans=plans).backbone
    with pytest.raises(SpecError, match=r"widths is \(4, 8\), and plans\.json, 3d_fullres has"):
        spec(plans=plans, widths=(4, 8))
    with pytest.raises(SpecError, match="size 'M' has"):
        spec(plans=plans, size="M")
    with pytest.raises(SpecError, match="configuration goes with plans"):
        spec(configuration="3d_fullres")


def set_in(*path: str, to: Any) -> Any:
    def change(content: dict[str, Any]) -> None:
        at: Any = content["configurations"]["3d_fullres"]
        for part in path[:-1]:
            at = at[part]
        if to is None:
            del at[path[-1]]
        else:
            at[path[-1]] = to

    return change


ARGUMENTS = ("architecture", "arch_kwargs")


@pytest.mark.parametrize(
    ("change", "configuration", "message"),
    [
        (
            None,
            "3d_lowres",
            "no configuration '3d_lowres'. Allowed: 2d, 3d_fullres, 3d_low, circle",
        ),
        (None, "2d", "arch_kwargs lack"),
        (None, "circle", "inherits from itself"),
        (set_in("architecture", to=None), "3d_fullres", "an older nnU-Net wrote it; plan again"),
        (
            set_in("architecture", "network_class_name", to="a.PlainConvUNet"),
            "3d_fullres",
            "network PlainConvUNet, not ResidualEncoderUNet: plan again",
        ),
        (
            set_in(*ARGUMENTS, "conv_op", to="torch.nn.modules.conv.Conv2d"),
            "3d_fullres",
            "a network of slices",
        ),
        (
            set_in(*ARGUMENTS, "nonlin", to="torch.nn.ReLU"),
            "3d_fullres",
            "nonlin is 'torch.nn.ReLU'; resunet has 'torch.nn.LeakyReLU'",
        ),
        (set_in(*ARGUMENTS, "norm_op", to="a.GroupNorm"), "3d_fullres", "norm_op is 'a.GroupNorm'"),
        (set_in(*ARGUMENTS, "stem_channels", to=7), "3d_fullres", r"not known are \['stem"),
        (set_in(*ARGUMENTS, "strides", to=[[1, 1, 1]]), "3d_fullres", "strides has not one entry"),
        (
            set_in(*ARGUMENTS, "strides", to=[[1, 1, 1], [3, 2, 2], [2, 2, 2]]),
            "3d_fullres",
            r"strides\[1\] is \(3, 2, 2\): use 1 or 2",
        ),
    ],
)
def test_plans_that_do_not_fit(
    tmp_path: Path, change: Any, configuration: str, message: str
) -> None:
    plans = plans_file(tmp_path / "plans.json", change=change)
    with pytest.raises(SpecError, match=message) as caught:
        spec(plans=str(plans), configuration=configuration)
    assert caught.value.problems[0][0].startswith("backbone")


@pytest.mark.parametrize("text", ["{", "[]", '{"configurations": 3}'])
def test_no_plans_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "plans.json").write_text(text)
    with pytest.raises(SpecError, match=r"not readable as JSON|no plans file of nnU-Net"):
        spec(plans=str(tmp_path / "plans.json"))


def test_plans_are_read_without_torch(tmp_path: Path, run_python: Any) -> None:
    plans = plans_file(tmp_path / "plans.json")
    done = run_python(
        "import sys; from ssl3d_plugins.resunet import ResUNet; "
        f"ResUNet(plans={str(plans)!r}); assert not {{'torch', 'numpy'}} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_the_exported_description_needs_no_plans(tmp_path: Path) -> None:
    plans = plans_file(tmp_path / "plans.json")
    run = encoder_of({"name": "resunet", "plans": str(plans)}, out=tmp_path / "run")
    plans.unlink()
    assert describe_encoder(run)["backbone"]["widths"] == [4, 8, 12]
    assert ssl3d.load_encoder(run).stages
