"""What the options of a loss are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ssl3d.geometry import Stage
from ssl3d.plugin.config import ComponentConfig

if TYPE_CHECKING:
    from ssl3d.kinds.loss import Loss


Need = Literal["restoration", "two_stages", "parents"]
"""What a loss may need of the rest of a spec: `restoration`, what the decoder restores;
`two_stages`, stages to compare; `parents`, views that lie in others, and the decoder's features of
both, beside a loss that restores.
"""


TAKEN = frozenset(
    {"loss", "share", "count", "rank", "visible_share", "psnr", "ssim"}
    | {"volume", "crops", "empty_crops", "step"}
)
"""What a run calls its own numbers, which no loss may be called."""


class LossConfig(ComponentConfig):
    """Options of a loss term."""

    kind: ClassVar[str] = "loss"
    makes: ClassVar[str] = "ssl3d.kinds.loss:Loss"
    answers: ClassVar[tuple[str, ...]] = ("needs",)
    draws: ClassVar[bool] = True
    """False where the loss takes no random number: a step is the same program each time then."""

    weight: float = Field(default=1.0, ge=0, description="factor of this term in the total loss")
    label: str = Field(
        default="",
        description="name in logs, unique in a spec and without a slash; default: the name",
    )

    @property
    def title(self) -> str:
        """The label, or the name where no label is given."""
        return self.label or self.name

    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """What the loss needs of the rest of the spec."""

    def build(
        self, *, stages: Sequence[Stage], features: Stage | None = None, levels: int = 1
    ) -> Loss:
        """Make the loss for a backbone's stages; it may own projection heads.

        Args:
            stages: of the backbone, fine to coarse.
            features: of the decoder; told where the loss needs `parents`.
            levels: of views; told likewise.
        """
        more = {"features": features, "levels": levels} if "parents" in self.needs() else {}
        loss: Loss = self._make(stages=stages, **more)
        return loss
