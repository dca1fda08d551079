"""A document of measurements of the stable track, all of whose bounds hold."""

from measurement_file import as_row

from ldrestore.structures import MPERCEIVER_SET

NAMES = [f"{letter}.png" for letter in "abcdefgh"]
ENVIRONMENT = {"device": "the CPU", "machine": "x86_64", "threads": 2, "packages": {"torch": "2.15"}}
COMMAND = "OMP_NUM_THREADS=2 python scripts/measure_stable.py tiny --val PICTURES"


def row_of(values):
    """A row of all pictures, each metric with one value for all, or with one a picture."""
    spread = {metric: value if isinstance(value, list) else [value] * len(NAMES) for metric, value in values.items()}
    return {**as_row(NAMES, spread), "environment": ENVIRONMENT, "command": COMMAND}


def restoration(*, restored=25.0, plain=22.5, distance=0.2):
    """Pictures of 20 dB at a distance of 0.4."""
    values = {"input_psnr": 20.0, "plain_psnr": plain, "restored_psnr": restored}
    values |= {"input_stlpips": 0.4, "plain_stlpips": 0.3, "restored_stlpips": distance}
    return row_of(values)


def stable_document():
    """Every section, eight pictures each."""
    own = {name: {severity: [name] * len(NAMES) for severity in ("0.4", "0.7", "1")} for name in MPERCEIVER_SET}
    return {
        "protocol": "uint8",
        "model": {
            "name": "tiny",
            "weights_sha256": "0123456789abcdef0",
            "scheduler": "DDIMScheduler",
            "scheduler_sha256": "0",
            "view": "native",
            "prediction_type": "v_prediction",
            "dtype": "float32",
            "parts": {"vae": 1_000_000, "drm": 500_000},
        },
        "settings": {
            "crop": 128,
            "severity": 0.5,
            "steps": 50,
            "seed": 0,
            "severities": [0.4],
            "solver_steps": 15,
            "own_steps": 50,
        },
        "pictures": {name: str(index) for index, name in enumerate([*NAMES, "i.png"])},
        "rows": {
            "ceiling": {"round_trip": row_of({"psnr": [30.0, 32.0] * 4})},
            "predictor": {name: {**row_of({"top1": 1.0}), "predicted": own[name]} for name in MPERCEIVER_SET},
            "restoration": {name: restoration() for name in MPERCEIVER_SET},
            "prior": {name: row_of({"unsampled_psnr": 24.0}) for name in MPERCEIVER_SET},
            "solvers": {name: row_of({"solver_psnr": 22.4}) for name in MPERCEIVER_SET},
            "clean": {"clean": row_of({"plain_psnr": 28.0, "restored_psnr": [33.0, 35.0] * 4})},
        },
    }
