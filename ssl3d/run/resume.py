"""Whether a run may use a folder: a new one, or that of the run it resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ssl3d.files import write_text
from ssl3d.folder import RunFolder
from ssl3d.plugin.spec_error import SpecError
from ssl3d.plugin.spec_file import from_json
from ssl3d.run.run_error import RunError


class Spec(Protocol):
    """What a spec must be able to do for its run to be resumed."""

    def to_json(self) -> str: ...
    def to_yaml(self) -> str: ...


def check_new(folder: RunFolder) -> None:
    """Raise RunError where another run, or a file, is in the way."""
    if folder.root.exists() and not folder.root.is_dir():
        raise RunError(f"out: {folder.root} is a file: give another folder")
    if folder.holds_a_run:
        raise RunError(
            f"out: {folder.root} holds another run. Go on with it (--resume, or resume=True), "
            "or give another folder"
        )


def spec_before(folder: RunFolder) -> dict[str, Any]:
    """The spec of the run that is here, in plain values.

    Raises:
        RunError: there is no run to resume, or its spec cannot be read.
    """
    if not folder.spec_json.exists():
        raise RunError(
            f"out: {folder.root} holds no run to resume: start one without --resume "
            "(resume=False), or give its folder"
        )
    try:
        return from_json(folder.spec_json.read_text(encoding="utf-8"))
    except (SpecError, OSError) as error:
        raise RunError(f"{folder.spec_json} cannot be read any more: {error}") from error


def check_changes(
    folder: RunFolder, changed: Mapping[str, tuple[Any, Any]], *, free: Sequence[str], also: str
) -> None:
    """Raise RunError where another experiment was run here.

    Args:
        folder: of the run.
        changed: dotted path to (before, after), as `differences` gives it.
        free: options that a resumed run may change, by dotted path.
        also: what else it may change, in words; may be empty.
    """
    found = {path: values for path, values in changed.items() if not under(path, free)}
    if found:
        raise RunError(
            f"out: {folder.root} was run with another spec:\n{lines_of(found)}\nA resumed run "
            f"may change only {', '.join(free)}{also}. Set these back, or start a new run"
        )


def check_checkpoint(
    path: Path, changed: Mapping[str, tuple[Any, Any]], *, free: Sequence[str]
) -> None:
    """Raise RunError where a checkpoint is not of the run whose folder it is in.

    Args:
        path: of the checkpoint.
        changed: dotted path to (in the checkpoint, in the spec of the folder).
        free: options that a resumed run may change, by dotted path.
    """
    found = {path: values for path, values in changed.items() if not under(path, free)}
    if found:
        raise RunError(
            f"{path} is the checkpoint of a run with another spec:\n{lines_of(found)}\nMove it "
            "away, and put back that of this run"
        )


def check_rule(path: Path, was: Mapping[str, Any], *, rule: Mapping[str, Any]) -> None:
    """Raise RunError where a checkpoint's run learned by another rule than it would go on by."""
    if found := differences(was, rule):
        raise RunError(
            f"{path} was trained by another rule:\n{lines_of(found)}\nSet these back, or start a "
            "new run"
        )


def write_spec(folder: RunFolder, spec: Spec) -> None:
    """Make the folders and write the resolved spec."""
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(folder.spec_yaml, spec.to_yaml())
    write_text(folder.spec_json, spec.to_json())


def lines_of(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """A line for each option that differs."""
    return "\n".join(f"  {path}: was {was!r}, is {now!r}" for path, (was, now) in changed.items())


def under(path: str, parts: Sequence[str]) -> bool:
    """True where a dotted path is one of `parts`, or inside one."""
    return any(path == part or path.startswith(f"{part}.") for part in parts)


def differences(before: Any, after: Any, *, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted path to (before, after) of every value that differs between two plain specs."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*before, *(key for key in after if key not in before)]:
            inside = f"{path}.{key}" if path else str(key)
            found |= differences(before.get(key), after.get(key), path=inside)
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return differences(dict(enumerate(before)), dict(enumerate(after)), path=path)
    return {} if before == after else {path: (before, after)}
