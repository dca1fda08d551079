"""A published file of a network that spandrel recognises, as a folder that `restore --model` takes."""

from pathlib import Path

from safetensors.torch import save_file

from ldrestore.checkpoints.whole_folder import whole_folder, write_json
from ldrestore.regressors.foreign_network import NOT_STATED, recognised
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.folders import read_json
from ldrestore.weights.hashes import hash_of_file
from ldrestore.weights.published_files import check_recorded_hash, read_state_dict

FOREIGN_WEIGHTS = "model.safetensors"
"""In the folder."""
FOREIGN_PIPELINE = "ForeignRestorePipeline"
"""Class that loads the folder."""


def convert_foreign(checkpoint: Path, out_dir: Path) -> Path:
    """Convert a file; a pickle is read without running code from it.

    Args:
        checkpoint: The published file.
        out_dir: Folder to write; must not exist, or be empty.

    Returns:
        The folder.

    Raises:
        MissingExtraError: spandrel is not installed.
        WeightsUnavailableError: no such file.
        WeightsError: it is damaged, or of no network that spandrel knows.
        ExportError: the folder cannot be written.
    """
    check_recorded_hash(checkpoint)
    weights = read_state_dict(checkpoint)
    facts = recognised(weights, source=checkpoint.name, licence=NOT_STATED).facts
    plain = {key: tensor.contiguous().clone() for key, tensor in weights.items()}
    with whole_folder(out_dir) as folder:
        folder.mkdir()
        save_file(plain, folder / FOREIGN_WEIGHTS)
        write_json(folder / "model_index.json", {"_class_name": FOREIGN_PIPELINE})
        origin = {
            "architecture": facts.architecture,
            "source": "https://github.com/chaiNNer-org/spandrel",
            "source_file": checkpoint.name,
            "source_sha256": hash_of_file(checkpoint),
            "weights_licence": facts.licence,
        }
        write_json(folder / ORIGIN_FILE, origin)
    return out_dir


def licence_of_folder(folder: Path) -> str:
    """Licence of the weights of a converted folder, which a person may have written down in its `ldrestore.json`."""
    path = folder / ORIGIN_FILE
    return str(read_json(path).get("weights_licence", NOT_STATED)) if path.is_file() else NOT_STATED
