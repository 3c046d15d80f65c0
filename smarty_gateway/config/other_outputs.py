"""Outputs of other packages, which stand below `outputs` under names of their own (docs/own-output.md).

A package names its output as an entry point of the group `smarty_gateway.outputs`. Installed packages are
looked through only where gateway.yaml has a name that is no output of ours, and so can replace none.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from smarty_gateway.config.settings import Form, Rest, Section
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile
from smarty_gateway.safe_text import printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "smarty_gateway.outputs"
#: It becomes part of JSON, metrics and messages.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
#: Characters of an error of another package.
_ERROR_MAX: Final = 200
#: What the code of another package may raise; Ctrl-C is for the gateway.
ERRORS: Final = (Exception, SystemExit)


@dataclass(frozen=True, slots=True)
class OutputKind:
    """What another package brings: the settings of an output, and how it is made.

    Attributes:
        settings: a dataclass whose fields are made by `setting`.
        make: returns the output (a ThreadedOutput) for its settings and the whole configuration.
    """

    settings: type
    make: Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class OtherOutput:
    """An output of another package that gateway.yaml asks for.

    Attributes:
        name: in gateway.yaml.
        package: the name of the distribution with its version, for messages.
        settings: those of its kind.
    """

    name: str
    package: str
    kind: OutputKind
    settings: Any


def error_text(error: BaseException) -> str:
    """Return an error of another package in one line."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its text is made by the package, too
        text = type(error).__name__
    return printable(text[:_ERROR_MAX].removesuffix(": "))[:_ERROR_MAX]


def _installed() -> "Iterator[EntryPoint]":
    """Yield the outputs of all packages, but for those whose own files are damaged."""
    from importlib.metadata import distributions  # noqa: PLC0415 - takes a while to load; see above

    seen: set[str] = set()  # one found twice on the path counts once, as it is imported once
    for package in distributions():
        try:
            name, found = package.name, package.entry_points.select(group=GROUP)
        except Exception:  # noqa: BLE001, S112 - `importlib.metadata` raises what it happens to
            continue
        if name not in seen:
            seen.add(name)
            yield from (each for each in found if _NAME.fullmatch(each.name))


def _names() -> list[str]:
    return sorted({found.name for found in _installed()})


def _form_of(name: yaml.ScalarNode) -> Form[OtherOutput] | None:
    found = [each for each in _installed() if each.name == name.value]
    if not found:
        return None
    return Form("", lambda file, node, _: _read(file, name, node, found))


def _read(file: YamlFile, name: yaml.ScalarNode, node: yaml.Node, found: "list[EntryPoint]") -> "_Settings":
    packages = sorted(map(_package_of, found))
    if len(found) > 1:
        listed = " and ".join(packages)
        file.fail(name, f"several packages have an output {name.value!r}: {listed}; uninstall all but one")
    kind = _load(file, name, found[0], packages[0])
    try:
        return _Settings(file, name, node, packages[0], kind)
    except UnusableFileError:
        raise
    except ERRORS as error:  # its text may repeat a setting
        file.fail(name, f"{packages[0]} cannot read its settings: {type(error).__name__}; tell its author")


def _load(file: YamlFile, name: yaml.Node, entry: "EntryPoint", package: str) -> OutputKind:
    try:
        kind = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever another package does when it is loaded
        file.fail(
            name, f"{package} cannot be loaded ({error_text(error)}); install what it needs, or uninstall it"
        )
    if not isinstance(kind, OutputKind) or not is_dataclass(kind.settings) or not callable(kind.make):
        file.fail(name, f"{package} has no OutputKind at {entry.value}; tell its author")
    return kind


def _package_of(entry: "EntryPoint") -> str:
    package = "?" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    return f"the package {printable(package)}"


class _Settings(Section[Any]):
    """The settings of such an output as they are in the file."""

    def __init__(
        self, file: YamlFile, name: yaml.ScalarNode, node: yaml.Node, package: str, kind: OutputKind
    ) -> None:
        super().__init__(file, node, kind.settings, name.value)
        self._file, self._name, self._package, self._own_kind = file, name, package, kind

    def build(self) -> OtherOutput | None:
        try:
            settings = super().build()
        except ERRORS as error:  # see `_read`
            self._file.note(
                self._name,
                f"{self._package} refuses its settings: {type(error).__name__}; look into its documentation",
            )
            return None
        if settings is None:
            return None
        return OtherOutput(self._name.value, self._package, self._own_kind, settings)


OTHER_OUTPUTS: Final = Rest(_form_of, _names)
