"""A way to take a trained encoder to another project: its options, and who writes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ssl3d.plugin.config import ComponentConfig

if TYPE_CHECKING:
    from torch import Tensor

    from ssl3d.kinds.backbone import Backbone


@dataclass(frozen=True)
class Written:
    """What a way has written.

    Attributes:
        features: the encoder as read back from the files, in evaluation mode: a volume
            (B, C, D, H, W) to one feature map for each stage. It is compared with what was given.
        encoder: what `features` must equal, where that is not the encoder that was given but one
            adapted from it, as `notes` say.
        card: plain values for the card, such as the arguments of the other project's network.
        notes: what the user must know or mind, a sentence each.
    """

    features: Callable[[Tensor], Sequence[Tensor]]
    encoder: Backbone | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class ExportConfig(ComponentConfig):
    """Options of a way out; a backbone's config lists its ways in `exports`.

    `builds` names a function, called with the options and with what `write` is given.
    """

    kind: ClassVar[str] = "export"
    makes: ClassVar[str] = "ssl3d.kinds.export_config:Written"

    def write(
        self, encoder: Backbone, *, backbone: ComponentConfig, about: Mapping[str, Any], out: Path
    ) -> Written:
        """Write files into a folder.

        Args:
            encoder: in evaluation mode, on the CPU.
            backbone: what it was made from.
            about: what `encoder.json` says.
            out: an empty folder.

        Raises:
            ValueError: the encoder does not fit there.
            ImportError: a library of the other project is missing.
        """
        written: Written = self._make(encoder=encoder, backbone=backbone, about=about, out=out)
        return written
