"""The parts of sleekxmpp that we use, without the rest of it.

`import sleekxmpp` runs its package file, which imports the whole library: 210 modules, 10 MB, 90 ms, and on new Pythons
modules that are gone. We need its SASL mechanisms and its address preparation. So the package is put into
`sys.modules` as Python would, found by its specification but not yet executed; its submodules then import as ever.
Whoever asks the package for anything of its own (`sleekxmpp.ClientXMPP`) makes it execute at that moment.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

PACKAGE = "sleekxmpp"


class _DormantPackage(ModuleType):
    """A package whose own file is executed when something is asked that only it can give."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__dict__.get("__spec__")
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        self.__class__ = ModuleType  # type: ignore[assignment]  # awake: from now on a module like any other
        spec.loader.exec_module(self)
        return getattr(self, name)


def load(module: str) -> Any:
    """Import a module of sleekxmpp ("sleekxmpp.util.sasl") without executing the package.

    Raises ImportError if the library is not installed.
    """
    if PACKAGE not in sys.modules:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("sleekxmpp is not installed")
        package = _DormantPackage(PACKAGE)
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations)
        package.__file__ = spec.origin
        package.__package__ = PACKAGE
        package.__loader__ = spec.loader
        sys.modules[PACKAGE] = package
    return importlib.import_module(module)
