"""Options of the views `single` and `nested`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ssl3d.geometry import Triple
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.config import Problem


class Single(ViewsConfig):
    """One crop, encoded once.

    Of a masker with nested levels the first is hidden from the encoder, and each is restored by its
    weight.
    """

    builds = "ssl3d_plugins.views.crop_views:SingleViews"
    name: Literal["single"] = "single"

    def levels(
        self,
        patch: Triple,
        *,
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,
    ) -> tuple[Level, ...]:
        """One of one view."""
        return (Level(1, patch, hidden=masker.weights()),)


class Nested(ViewsConfig):
    """One crop, encoded once for each level that the masker hides, with that level alone hidden.

    Each pass restores what it hides; the masker's weights of the levels weight the passes.
    """

    builds = "ssl3d_plugins.views.crop_views:NestedViews"
    name: Literal["nested"] = "nested"

    def levels(
        self,
        patch: Triple,
        *,
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,
    ) -> tuple[Level, ...]:
        """One of one view for each level that the masker hides."""
        return tuple(Level(1, patch, weight=weight) for weight in masker.weights())

    def problems(
        self,
        *,
        patch: Triple,  # noqa: ARG002
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,
    ) -> Iterable[Problem]:
        """A masker of one level: nothing is nested."""
        if len(masker.weights()) < 2:
            yield Problem(
                "name",
                f"nested encodes once for each level that the masker hides, and {masker.name!r} "
                "hides one: take a masker of several levels, such as mim, or views single",
            )
