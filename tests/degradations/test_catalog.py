import inspect
import subprocess
import sys

from ldrestore.degradations.catalog import DEGRADATIONS
from ldrestore.registry import resolve
from ldrestore.structures import FIRST_SET


def test_every_record_points_at_a_documented_pair_of_functions():
    for record in DEGRADATIONS:
        function, parameters = resolve(record.target), resolve(f"{record.target}_parameters")
        assert function.__name__ == record.name and parameters.__name__ == f"{record.name}_parameters"
        assert inspect.getdoc(function) and inspect.getdoc(parameters)
        assert record.source


def test_listing_imports_no_numerical_package():
    """The records alone; the folder's `__init__` offers the functions too, and these need numpy."""
    code = (
        "import sys, types, importlib.util, pathlib, ldrestore.registry;"
        "folder = pathlib.Path(ldrestore.registry.__file__).parent / 'degradations';"
        "spec = importlib.util.spec_from_file_location('catalog', folder / 'catalog.py');"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module);"
        "print(len(module.DEGRADATIONS.names()), *({'numpy', 'cv2', 'torch', 'PIL'} & set(sys.modules)))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert outcome.stdout.split() == ["21"]


def test_the_order_of_the_vocabulary_stays():
    """Labels of training data are columns in this order."""
    domains = ["cloud", "aerial_downscale", "ct_low_dose", "mri_undersample", "under_display", "moire"]
    assert [*FIRST_SET, *domains, "underwater", "demosaic"] == DEGRADATIONS.names()
