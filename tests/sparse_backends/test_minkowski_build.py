"""A MinkowskiEngine that does not fit the machine says so, and what to run."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest
import torch

from ssl3d_plugins.sparse_minkowski import Minkowski

needs_minkowski = pytest.mark.skipif(
    importlib.util.find_spec("MinkowskiEngine") is None,
    reason="needs: ssl3d install minkowski",
)


class Refuses:
    """An importer that finds MinkowskiEngine and cannot load it."""

    def __init__(self, error: ImportError) -> None:
        self.error = error

    def find_spec(self, name: str, *_: object) -> object:
        if name.split(".")[0] != "MinkowskiEngine":
            return None
        return importlib.util.spec_from_loader(name, self)  # type: ignore[arg-type]

    def create_module(self, _: object) -> None:
        return None

    def exec_module(self, _: object) -> None:
        raise self.error


def build_with(error: ImportError, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "MinkowskiEngine" or name.startswith(
            "ssl3d_plugins.sparse_minkowski."
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refuses(error), *sys.meta_path])
    Minkowski().build()


@pytest.mark.parametrize(
    "said",
    [
        "/env/MinkowskiEngineBackend/_C.cpython-311.so: undefined symbol: _ZN3c105ErrorC2E",
        "libopenblas.so.0: cannot open shared object file: No such file or directory",
        "libc10_cuda.so: cannot open shared object file: No such file or directory",
    ],
)
def test_a_build_for_another_torch_says_so(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError, match="built for another torch") as caught:
        build_with(ImportError(said, name="MinkowskiEngineBackend._C"), monkeypatch)
    assert said in str(caught.value), "the loader's own words stay"
    assert "libopenblas0" in str(caught.value)
    assert str(caught.value).endswith("Run `ssl3d install minkowski`")


def test_other_errors_of_an_import_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("cannot import name 'Sequence' from 'collections'")
    with pytest.raises(ImportError) as caught:
        build_with(error, monkeypatch)
    assert caught.value is error


@needs_minkowski
def test_a_build_for_cpus_refuses_a_volume_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = importlib.import_module("ssl3d_plugins.sparse_minkowski.maps")
    monkeypatch.setattr(maps, "is_cuda_available", lambda: False)
    with pytest.raises(ValueError, match="ssl3d install minkowski --cuda"):
        maps._manager(torch.device("cuda"))
