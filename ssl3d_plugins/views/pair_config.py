"""Options of the views `pair`."""

from __future__ import annotations

from typing import Literal

from ssl3d.geometry import Triple
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.views_config import ViewsConfig


class Pair(ViewsConfig):
    """Two registered volumes of one visit, such as two sequences: each restores both.

    The encoder sees one of them in part; where it is hidden, it is restored, and its partner beside
    it. Then the same the other way round, with cells of its own hidden. Nothing of the partner is
    encoded. `data.visit_by` or `data.visit_file` says which volumes are of a visit.
    """

    builds = "ssl3d_plugins.views.pair_views:PairViews"
    partners = True
    name: Literal["pair"] = "pair"

    def levels(
        self,
        patch: Triple,
        *,
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,
    ) -> tuple[Level, ...]:
        """One of two views."""
        return (Level(2, patch, hidden=masker.weights()),)
