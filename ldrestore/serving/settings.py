"""What the one who starts the page decides: where it listens, what it offers, and how much it takes."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ldrestore.errors import ConfigError, MissingExtraError

LOCAL_HOST = "127.0.0.1"
"""Only this machine sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """Settings of `ldrestore app`."""

    host: str = LOCAL_HOST
    """Address it listens on; others than the default let other machines in."""
    port: int = 7860
    """0 to 65535; 0 takes a free one."""
    models_folder: Path | None = None
    """Whose sub-folders are offered as models beside the embedded ones."""
    first_model: str = "default"
    """Name of the model that is chosen at first."""
    devices: tuple[str, ...] = ("auto",)
    """Where to compute; each does one picture at a time."""
    dtype: str = "float32"
    """Number format of the networks."""
    max_upload_bytes: int = 200_000_000
    """Of one file."""
    max_pixels: int = 100_000_000
    """Of one picture, before it is enlarged."""
    max_result_pixels: int = 400_000_000
    """Of one result, after it is enlarged."""
    max_waiting: int = 64
    """How many calls may wait for a device; the next ones are refused."""
    max_batch: int = 500
    """Pictures of one batch."""
    max_disk_bytes: int = 20_000_000_000
    """That uploads and results of all visitors may take together; uploads beyond are refused."""
    keep_seconds: float = 3600.0
    """For so long are uploads and results kept after their last use, in seconds."""
    user: str | None = None
    """Name to log in with; None lets everybody in who reaches the address."""
    password: str | None = None
    """Of the user."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of its range, or only one of user and password is given.
        """
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port must lie in [0, 65535], got {self.port}")
        limits = ("max_upload_bytes", "max_pixels", "max_result_pixels", "max_waiting", "max_batch", "max_disk_bytes")
        for name in (*limits, "keep_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if (self.user is None) != (self.password is None) or "" in (self.user, self.password):
            raise ConfigError("a user needs a password, and a password a user; give both or none, neither empty")
        if not self.devices:
            raise ConfigError("devices must name at least one, such as auto or cpu")


def check_page_packages() -> None:
    """Refuse to begin without gradio.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtraError("gradio", "app", "for the page")
