"""Crops as views of them: what loading processes make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset

from ssl3d.data.collate import Sample
from ssl3d.data.data_error import DataError
from ssl3d.data.region import TensorRegion
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.views import Views, views_of
from ssl3d.streams import Seeds


class ViewedCrops(Dataset[Sample]):
    """The views of crops: `dataset[place]`, for any place that `seeds` knows.

    Args:
        crops: dicts as those of `CropDataset`, by number.
        views: that are made of each.
        masker: draws what is hidden of them.
        seeds: a place, as the sampler gives it, to the crop's number and randomness.

    Raises:
        DataError: on access, where no views can be made of a crop; names its volume.
    """

    def __init__(
        self,
        crops: Dataset[dict[str, Any]],
        *,
        views: Views,
        masker: Masker,
        seeds: Callable[[Any], Seeds],
    ) -> None:
        self._crops = crops
        self._views = views
        self._masker = masker
        self._seeds = seeds

    def __getitem__(self, place: Any) -> Sample:
        seeds = self._seeds(place)
        crop = self._crops[seeds.sample]
        region = TensorRegion(crop["volume"], crop["valid"])
        try:
            made = views_of(region, views=self._views, masker=self._masker, seeds=seeds)
        except ValueError as error:
            raise DataError(f"A crop of {crop['source']}: {error}") from error
        return Sample(made, number=seeds.sample, source=crop["source"], present=crop.get("present"))
