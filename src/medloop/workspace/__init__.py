"""The folder in which medloop works: its layout, its lock, and writes that are whole or not at all."""

from medloop.workspace.atomic import asked_for, ready_for, write_bytes, write_folder, write_json, write_text
from medloop.workspace.layout import Workspace

__all__ = ["Workspace", "asked_for", "ready_for", "write_bytes", "write_folder", "write_json", "write_text"]
