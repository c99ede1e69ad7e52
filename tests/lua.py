"""Runs the gate's Lua files without HAProxy, in the Lua library that HAProxy uses.

Source: Lua 5.3 Reference Manual, section 4 (the C API; the functions here are the same in 5.4).
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterable
from pathlib import Path

from network.gate import wording

LIBRARIES = ("liblua5.3.so.0", "liblua5.4.so.0")
# Actions are not called here: only their registration has to succeed.
CORE = b"""
local function nothing() end
core = { register_action = nothing, register_filter = nothing, register_service = nothing, Warning = error }
filter = {}
"""
_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class LuaError(Exception):
    """An error in Lua, or a refusal as `verdict: detail`."""


def library() -> ctypes.CDLL | None:
    """Lua's shared library; None if the machine has none."""
    for name in LIBRARIES:
        try:
            found = ctypes.CDLL(name)
        except OSError:
            continue
        found.luaL_newstate.restype = ctypes.c_void_p
        found.lua_tolstring.restype = ctypes.c_void_p
        return found
    return None


class Lua:
    """A Lua state with these files loaded, and the function `sha1` of HAProxy's converter."""

    def __init__(self, files: Iterable[Path]) -> None:
        found = library()
        assert found is not None
        self._lua, self._state = found, ctypes.c_void_p(found.luaL_newstate())
        self._lua.luaL_openlibs(self._state)
        self._sha1 = _FUNCTION(self._hash)  # kept, because Lua holds only its address
        self._lua.lua_pushcclosure(self._state, self._sha1, 0)
        self._lua.lua_setglobal(self._state, b"sha1")
        self.run(CORE)
        self.run(wording.lua(("octo/repo",)).encode())
        for file in files:
            self.run(file.read_bytes())

    def run(self, code: bytes, *arguments: bytes) -> bytes:
        """Runs code that gets the arguments as `...`. Returns its result as a string; b"" for none. Raises LuaError."""
        lua, state = self._lua, self._state
        lua.lua_settop(state, 0)
        if lua.luaL_loadbufferx(state, code, ctypes.c_size_t(len(code)), b"=test", b"t"):
            raise LuaError(self._text(-1).decode())
        for argument in arguments:
            lua.lua_pushlstring(state, argument, ctypes.c_size_t(len(argument)))
        if lua.lua_pcallk(state, len(arguments), 1, 0, ctypes.c_void_p(0), None):
            if lua.lua_type(state, -1) == 5:  # a table: `refuse`
                lua.lua_getfield(state, -1, b"verdict")
                verdict = self._text(-1).decode()
                lua.lua_getfield(state, -2, b"detail")
                raise LuaError(f"{verdict}: {self._text(-1).decode()}")
            raise LuaError(self._text(-1).decode())
        return self._text(-1)

    def _text(self, index: int) -> bytes:
        size = ctypes.c_size_t()
        address = self._lua.lua_tolstring(self._state, index, ctypes.byref(size))
        return ctypes.string_at(address, size.value) if address else b""

    def _hash(self, state: int) -> int:
        size, lua = ctypes.c_size_t(), self._lua
        text = ctypes.string_at(lua.lua_tolstring(ctypes.c_void_p(state), 1, ctypes.byref(size)), size.value)
        digest = hashlib.sha1(text, usedforsecurity=False).digest()
        lua.lua_pushlstring(ctypes.c_void_p(state), digest, ctypes.c_size_t(len(digest)))
        return 1
