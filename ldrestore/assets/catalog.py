"""Static records of the ready-to-use weights; importing this imports no torch."""

from pathlib import Path

from ldrestore.errors import WeightsUnavailableError
from ldrestore.registry import ModelRecord, Registry
from ldrestore.structures import FIRST_SET, MPERCEIVER_SET

MODELS: Registry[ModelRecord] = Registry("model")

MODELS.register(
    ModelRecord(
        name="default",
        track="fast",
        location="assets/default",
        tasks=FIRST_SET,
        licence="Apache-2.0",
        parameters=6_800_883,
        summary="for photographs; heeds what you say",
    )
)

MODELS.register(
    ModelRecord(
        name="default-fast",
        track="fast",
        location="assets/default_fast",
        tasks=FIRST_SET,
        licence="Apache-2.0",
        parameters=3_723_558,
        summary="smaller, faster; for simpler damage",
    )
)

MODELS.register(
    ModelRecord(
        name="ldrestore-tiny-stable",
        track="stable",
        location="assets/ldrestore_tiny_stable",
        tasks=MPERCEIVER_SET,
        licence="Apache-2.0",
        parameters=7_646_811,
        summary="small MPerceiver, sampled; for research",
    )
)

MODELS.register(
    ModelRecord(
        name="ldrestore-tiny-xl",
        track="xl",
        location="assets/ldrestore_tiny_xl",
        tasks=MPERCEIVER_SET,
        licence="Apache-2.0",
        parameters=7_116_604,
        summary="small UniLDiff, for research",
    )
)


def folder_of(record: ModelRecord) -> Path:
    """Where embedded weights lie."""
    return Path(__file__).resolve().parent.parent / record.location


def embedded_folder(name_or_path: str | Path) -> Path | None:
    """Folder of the embedded weights that a name stands for.

    Args:
        name_or_path: A name of `MODELS`; a path is no name, even where a folder is called like one.

    Returns:
        The folder; None for anything but a name.

    Raises:
        WeightsUnavailableError: the installation lacks it.
    """
    if name_or_path not in MODELS:
        return None
    folder = folder_of(MODELS.get(str(name_or_path)))
    if not folder.is_dir():
        raise WeightsUnavailableError(f"the weights of {str(name_or_path)!r} are missing from {folder}; reinstall")
    return folder
