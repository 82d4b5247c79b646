"""Which samples no entry of `data.normalise_by_modality` is of."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec


def say_normalised_by(sources: Sequence[Source], *, spec: DataSpec) -> None:
    """Warn of samples that go by `normalise` instead, and of entries that no sample is of.

    Raises:
        DataError: no sample is of any entry.
    """
    entries = spec.normalise_by_modality
    if not entries:
        return
    counts = Counter(source.modality for source in sources)
    named = {name or "an unknown one": count for name, count in counts.items()}
    if not any(name in entries for name in counts):
        found = ", ".join(f"{name} ({count})" for name, count in sorted(named.items()))
        raise DataError(
            f"data.normalise_by_modality has {', '.join(entries)}, and the volumes are of other "
            f"modalities: {found}. Name those, or say by data.modality_by, data.modality_file or a "
            "manifest what each volume is"
        )
    idle = [name for name in entries if name not in counts]
    others = [name for name in sorted(named) if name not in entries]
    if others:
        count = sum(named[name] for name in others)
        warnings.warn(
            f"data.normalise_by_modality: {count} of {len(sources)} volumes are of "
            f"{' and '.join(others)}, which it does not have: they are normalised by "
            f"data.normalise ({spec.normalise.name})",
            DataWarning,
            stacklevel=3,
        )
    if idle:
        warnings.warn(
            f"data.normalise_by_modality: no volume is of {' or '.join(idle)}",
            DataWarning,
            stacklevel=3,
        )
