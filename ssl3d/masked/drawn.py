"""What a masker drew, checked: a step needs something to see and something to restore."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.kinds.masker import Masker
from ssl3d.sparse import HiddenLevels


def check_drawn(levels: HiddenLevels, *, masker: Masker, hideable: Tensor | None) -> HiddenLevels:
    """The levels as they were given.

    Raises:
        ValueError: the masker hides all or none of the hideable cells of a sample that has two or
            more; names the masker.
    """
    hidden = levels.levels[0]
    allowed = torch.ones_like(hidden) if hideable is None else hideable
    total = allowed.flatten(1).sum(1)
    count = (hidden & allowed).flatten(1).sum(1)
    wrong = ((count == 0) | (count == total)) & (total >= 2)
    if bool(wrong.any()):
        sample = int(wrong.nonzero()[0])
        hides = "everything" if count[sample] else "nothing"
        raise ValueError(
            f"masker {getattr(masker, 'name', type(masker).__name__)!r} hides {hides}: "
            f"{int(count[sample])} of the {int(total[sample])} cells that it may hide in sample "
            f"{sample}; at least one must be hidden and one shown. Set its options otherwise, or "
            "take another masker"
        )
    return levels
