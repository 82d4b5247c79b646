"""How labelled volumes are prepared: as the encoder's were, unless told otherwise. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.spec import DataSpec, ForegroundSpec
from ssl3d.geometry import Triple

DEFAULTS = ("spacing", "normalise", "foreground", "valid_region")


def of_encoder(
    description: Mapping[str, Any], *, patch: Triple | None = None, modality: str | None = None
) -> DataSpec:
    """How an encoder's volumes were prepared.

    Args:
        description: "input" of its `encoder.json`; empty where there is no encoder.
        patch: size of crops; none: as the encoder's.
        modality: of the volumes, where the encoder's were normalised by theirs.
    """
    # Encoders from before it was written down knew no other threshold worth the name.
    known = {name: description[name] for name in DEFAULTS if description.get(name) is not None}
    own = (description.get("normalise_by_modality") or {}).get(modality)
    known |= {} if own is None else {"normalise": own}
    size = description.get("patch") if patch is None else patch
    return DataSpec(volumes="-", **known, **({} if size is None else {"patch": size}))


def preparation(
    data: LabelledData, *, patch: Triple, encoder: Mapping[str, Any] | None = None
) -> tuple[DataSpec, list[str]]:
    """(how volumes are prepared, a warning for each difference from the encoder's way).

    The result is for `prepare` and `VolumeStore`; which files there are is not its business.

    Args:
        data: what is asked for.
        patch: size of crops.
        encoder: "input" of its `encoder.json`; none: from scratch.
    """
    base = of_encoder(encoder or {}, patch=patch, modality=data.modality)
    asked: dict[str, Any] = {"spacing": data.spacing, "normalise": data.normalise}
    if data.foreground is not None:
        asked["foreground"] = ForegroundSpec(threshold=data.foreground)
    changes = {name: value for name, value in asked.items() if value is not None}
    warnings = [
        f"data.{name} is {_words(value)}, but the encoder's volumes had "
        f"{_words(getattr(base, name))}: leave it out to prepare volumes as the encoder knows them"
        for name, value in changes.items()
        if encoder is not None and value != _comparable(base, name, value)
    ]
    modalities = (encoder or {}).get("normalise_by_modality") or {}
    if data.normalise is None and modalities and data.modality not in modalities:
        given = "not given" if data.modality is None else f"{data.modality!r}"
        warnings.append(
            f"data.modality is {given}, and the encoder's volumes were normalised by theirs "
            f"({', '.join(modalities)}): these are normalised by {_words(base.normalise)}, as "
            "those of other modalities"
        )
    same = ("cache", "workers", "batch_size", "on_bad_file", "max_bad_share", "max_non_finite")
    changes |= {name: getattr(data, name) for name in same}
    return base.model_copy(update=changes), warnings


def _comparable(base: DataSpec, name: str, asked: Any) -> Any:
    """The share of crops on the foreground is none of an encoder's concern."""
    own = getattr(base, name)
    if name == "foreground":
        return ForegroundSpec(threshold=own.threshold, share=asked.share)
    return own


def _words(value: Any) -> str:
    if isinstance(value, ForegroundSpec):
        return f"threshold {value.threshold}"
    if value is None:
        return "the files' own"
    if isinstance(value, tuple):
        return " × ".join(f"{size:g}" for size in value) + " mm"
    options = value.model_dump(exclude={"name"})
    inside = ", ".join(f"{key} {one}" for key, one in options.items())
    return f"{value.name} ({inside})" if inside else str(value.name)
