"""ldrestore in ComfyUI: copy or link this folder into `custom_nodes/`, and install ldrestore into ComfyUI's Python."""

from .restore_node import (  # noqa: TID252  ComfyUI imports the folder under a name of its own
    NODE_CLASS_MAPPINGS,
    NODE_DISPLAY_NAME_MAPPINGS,
)

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
