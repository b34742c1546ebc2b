"""Puts our classes where locustfiles find Locust's."""

from __future__ import annotations

import sys
from collections.abc import Collection

import locust
import locust.clients
import locust.contrib.fasthttp

import opscore_fast.clients
import opscore_fast.contrib.fasthttp
from opscore_fast.users import HttpUser

# By the name that --keep takes: Locust's classes and ours. The response types go with the session.
_FAST = locust.contrib.fasthttp
_OUR_FAST = opscore_fast.contrib.fasthttp
_REPLACEMENTS: dict[str, list[tuple[type, type]]] = {
    "HttpUser": [(locust.HttpUser, HttpUser)],
    "FastHttpUser": [(_FAST.FastHttpUser, _OUR_FAST.FastHttpUser)],
    "HttpSession": [
        (getattr(locust.clients, name), getattr(opscore_fast.clients, name))
        for name in opscore_fast.clients.__all__
        if hasattr(locust.clients, name)  # older versions have fewer
    ],
    "FastHttpSession": [
        (getattr(_FAST, name), getattr(_OUR_FAST, name))
        for name in _OUR_FAST.__all__
        if name != "FastHttpUser"
    ],
}

NAMES = tuple(_REPLACEMENTS)
"""The classes that are replaced."""

# What a user class of Locust's makes its client of: who keeps the one keeps the other.
_SESSION_OF = {"HttpUser": "HttpSession", "FastHttpUser": "FastHttpSession"}


def replace_classes(keep: Collection[str] = (), *, native: bool = False) -> str:
    """Replace Locust's classes wherever its modules have them; returns a line that says so.

    keep: names of NAMES to leave alone; the session class of a kept user class is kept with it.
    native: the user classes are those whose tasks native threads run where they can be recorded. To
    be called before a locustfile is imported. Raises ValueError for a name that isn't one.
    """
    for name in keep:
        if name not in _REPLACEMENTS:
            raise ValueError(f"there is no {name} to keep, only {', '.join(NAMES)}")
    kept = {*keep, *(_SESSION_OF[name] for name in keep if name in _SESSION_OF)}
    ours = {
        theirs: our
        for name, pairs in _REPLACEMENTS.items()
        if name not in kept
        for theirs, our in pairs
    }
    if native:
        from opscore_fast.native import agents

        native_of: dict[type, type] = {
            HttpUser: agents.NativeHttpUser,
            _OUR_FAST.FastHttpUser: agents.NativeFastHttpUser,
        }
        ours = {theirs: native_of.get(our, our) for theirs, our in ours.items()}
    for module_name, module in list(sys.modules.items()):
        if module_name == "locust" or module_name.startswith("locust."):
            _replace_in(module, ours)
    replaced = [name for name in NAMES if name not in kept]
    text = "locust's " + ", ".join(replaced) + " are opscore_fast's" if replaced else "idle"
    return text + (f"; {', '.join(sorted(kept))} kept" if kept else "")


def _replace_in(module: object, ours: dict[type, type]) -> None:
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and value in ours:
            setattr(module, name, ours[value])
