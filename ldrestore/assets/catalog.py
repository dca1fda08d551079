"""Static records of the ready-to-use weights; importing this imports no torch."""

from pathlib import Path

from ldrestore.registry import ModelRecord, Registry
from ldrestore.structures import FIRST_SET

MODELS: Registry[ModelRecord] = Registry("model")

MODELS.register(
    ModelRecord(
        name="default",
        track="fast",
        location="assets/default",
        tasks=FIRST_SET,
        licence="Apache-2.0",
        parameters=3_723_558,
        summary="small blind restorer for all listed degradations and mixtures; says what it sees; made for the CPU",
    )
)


def folder_of(record: ModelRecord) -> Path:
    """Where embedded weights lie."""
    return Path(__file__).resolve().parent.parent / record.location
