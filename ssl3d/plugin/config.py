"""A component is its typed config: a name, its options, and where its object is made.

Configs import no torch, so that a spec is validated in full before anything heavy is loaded;
`build` imports what `builds` names.
"""

from __future__ import annotations

import pkgutil
from abc import ABC
from typing import Any, ClassVar, NamedTuple

from ssl3d.plugin.answer import judged, made
from ssl3d.plugin.section import Section


class Problem(NamedTuple):
    """Something wrong with one option: where it stands in the config, and what to do."""

    option: str
    message: str


class ComponentConfig(Section, ABC):
    """Base of every component's options.

    Subclasses set `name: Literal["..."] = "..."` and `builds = "package.module:Class"`: `build`
    imports that class and calls it with the config and what a component of its kind is told.

    Attributes:
        makes: base class of what a config of the kind builds, as `package.module:Class`.
        answers: methods of the kind's base whose overrides are judged by the base's annotation: an
            answer of another type, or an error, is one that names the component.
    """

    kind: ClassVar[str]
    builds: ClassVar[str]
    makes: ClassVar[str]
    answers: ClassVar[tuple[str, ...]] = ()
    name: str

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        base = next((one for one in cls.__mro__ if "kind" in vars(one)), cls)
        if base is cls:
            return
        for answer in ("about", *cls.answers):
            if answer in vars(cls):
                setattr(cls, answer, judged(vars(cls)[answer], like=getattr(base, answer)))

    @classmethod
    def component_name(cls) -> str:
        """The name that specs use for this component."""
        return str(cls.model_fields["name"].default)

    def about(self, *, device: str) -> str:  # noqa: ARG002
        """What a run's environment file says of how it computes on a device; empty for nothing.

        A resumed run says where that has changed. For what depends on the machine and not on the
        options, such as measured times.

        Args:
            device: as torch names it, such as `cuda:0`.
        """
        return ""

    def _make(self, **context: Any) -> Any:
        """The object; raises the errors for users that its constructor raises.

        Raises:
            ImportError: the module that `builds` names cannot be imported, whatever that raises.
            AnswerError: its constructor raises another error, or makes no object of the kind.
        """
        try:
            make = pkgutil.resolve_name(self.builds)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's module may raise anything, and may exit
            absent = isinstance(error, ModuleNotFoundError)
            raise (ModuleNotFoundError if absent else ImportError)(
                f"{self.kind.replace('_', ' ')} {self.name!r} cannot be made, since {self.builds} "
                f"cannot be imported: {type(error).__name__}: {error}",
                name=getattr(error, "name", None),
            ) from error
        return made(self, make, context, base=self.makes)
