"""Whether a config that a plugin declares can be listed, described and validated."""

from __future__ import annotations

from typing import Any

from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.option import all_options_of


def check_config(config: Any) -> type[ComponentConfig]:
    """The config class itself, once it is sure that it can be listed, described and validated.

    Raises:
        TypeError: it is none, has no name, leaves something out, or pydantic cannot finish it or
            describe its options.
    """
    if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
        raise TypeError(f"ssl3d_components() gave {config!r}, which is no ComponentConfig class")
    if not hasattr(config, "kind"):
        raise TypeError(f"{config.__name__} has no kind: derive it from MaskerConfig or the like")
    name = config.model_fields["name"].default
    if not isinstance(name, str):
        raise TypeError(f"{config.__name__} has no default name: add name: Literal[...] = ...")
    missing = ", ".join(sorted(getattr(config, "__abstractmethods__", ())))
    if missing:
        raise TypeError(f"{config.__name__} lacks {missing}")
    if not _can_be_built(config):
        raise TypeError(f'{config.__name__} lacks builds: add builds = "package.module:Class"')
    try:
        config.model_rebuild()
        all_options_of(config)
        fixed = config.model_json_schema()["properties"]["name"].get("const", name)
    except PydanticUndefinedAnnotation as error:
        where = "import it where the class is defined, and not for type checkers only"
        raise TypeError(f"{config.__name__}: {error.message}: {where}") from error
    except PydanticUserError as error:
        raise TypeError(f"{config.__name__}: {error.message}") from error
    if fixed != name:
        raise TypeError(f"{config.__name__} is named {name!r} by default and allows {fixed!r} only")
    return config


def _can_be_built(config: type[ComponentConfig]) -> bool:
    """It says what it builds, or has a way of its own."""
    kind = next(base for base in config.__mro__ if "kind" in vars(base))
    return hasattr(config, "builds") or config.build is not kind.build  # type: ignore[attr-defined]
