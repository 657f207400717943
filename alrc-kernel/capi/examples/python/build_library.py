"""Puts libalrc into the wheel, which then suits every Python of its platform."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CRATE = Path(__file__).resolve().parents[2]
SUFFIXES = {".so", ".dylib", ".dll"}


class BuildLibrary(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = build()
        build_data["force_include"][str(library)] = f"alrc/library{library.suffix}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False


def build() -> Path:
    """Builds the shared library and says where it is."""
    command = ["cargo", "rustc", "--release", "--lib", "--crate-type", "cdylib", "--message-format", "json"]
    command += ["--config", 'profile.release.strip="symbols"']
    output = subprocess.run(command, cwd=CRATE, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    files = [
        Path(file)
        for message in messages
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "alrc"
        for file in message["filenames"]
    ]
    return next(file for file in files if file.suffix in SUFFIXES)
