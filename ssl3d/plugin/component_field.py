"""What a field of a spec that holds a component accepts: a name, a mapping, a typed config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.registry import DuplicateComponentError, UnknownComponentError, installed
from ssl3d.plugin.shown import cut, shown
from ssl3d.plugin.spec_error import explain


def _refuse(path: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(
        "component", "{text}", {"text": message, "problems": [(path, message)]}
    )


@dataclass(frozen=True)
class ComponentField:
    """Tells pydantic how to read, write and describe a component of one kind.

    Attributes:
        base: of the configs of the kind.
        unnamed: the component that a mapping without a name is about; None: such are refused.
    """

    base: type[ComponentConfig]
    unnamed: str | None = None

    @property
    def kind(self) -> str:
        return self.base.kind

    def resolve(self, value: Any) -> ComponentConfig:
        """The typed config of a name, a mapping with a name, or a config."""
        if isinstance(value, self.base):
            self._refuse_clash(value.name)
            return _checked(type(value), dict(value))  # pydantic's `model_copy` checks nothing
        options: Mapping[str, Any] = {"name": value} if isinstance(value, str) else value
        if isinstance(options, Mapping) and self.unnamed is not None:
            options = {"name": self.unnamed, **options}
        if not isinstance(options, Mapping) or not isinstance(options.get("name"), str):
            names = ", ".join(installed().names(self.kind))
            raise _refuse(
                "",
                f"given {shown(value)}; must be a {self.kind} name ({names}), a mapping with "
                f"'name' and options, or a {self.base.__name__}",
            )
        self._refuse_clash(options["name"])
        try:
            config = installed().config(self.kind, name=cut(options["name"]))
        except UnknownComponentError as error:
            raise _refuse("", str(error)) from None
        assert issubclass(config, self.base)
        return _checked(config, options)

    def _refuse_clash(self, name: str) -> None:
        """Also of a typed config: a run writes its spec by names."""
        try:
            installed().refuse_clash(self.kind, name=name)
        except DuplicateComponentError as error:
            raise _refuse("", str(error)) from None

    def __get_pydantic_core_schema__(
        self,
        source: Any,
        handler: GetCoreSchemaHandler,
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.resolve,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _dump, info_arg=True, when_used="always"
            ),
        )

    def __get_pydantic_json_schema__(
        self,
        schema: CoreSchema,
        handler: GetJsonSchemaHandler,
    ) -> dict[str, Any]:
        entries = installed().entries(self.kind)
        names = {"enum": installed().names(self.kind), "type": "string"}
        options = [
            handler.resolve_ref_schema(handler(entry.config.__pydantic_core_schema__))
            for entry in entries
        ]
        return {"anyOf": [names, *options]}


def _checked(config: type[ComponentConfig], options: Mapping[str, Any]) -> ComponentConfig:
    try:
        return config.model_validate(dict(options))
    except ValidationError as error:
        problems = explain(error, model=config, given=options)
        text = "; ".join(": ".join(filter(None, problem)) for problem in problems)
        raise PydanticCustomError(
            "component", "{text}", {"text": text, "problems": problems}
        ) from None


def _dump(config: ComponentConfig, info: core_schema.SerializationInfo) -> dict[str, Any]:
    return config.model_dump(mode=info.mode)
