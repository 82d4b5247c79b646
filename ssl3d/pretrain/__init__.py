"""One pre-training step: hide, encode what is visible, densify, decode, restore."""

import sys
from types import ModuleType
from typing import Any

from ssl3d.pretrain.decoder import SparkDecoder
from ssl3d.pretrain.model import PretrainModel

__all__ = ["PretrainModel", "SparkDecoder"]


class _Callable(ModuleType):
    """Importing this package puts it where the function `ssl3d.pretrain` was: be that, too."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from ssl3d.train import pretrain

        return pretrain(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
