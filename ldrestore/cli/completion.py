"""What a shell offers for words that begin: names of models, degradations, architectures; imports no torch."""

from collections.abc import Iterable


def complete_models(incomplete: str) -> list[tuple[str, str]]:
    """Names of models that restore now, with what they are; folders come from the shell itself."""
    from ldrestore.assets.catalog import MODELS

    return [(record.name, record.summary) for record in MODELS if record.name.startswith(incomplete)]


def complete_architectures(incomplete: str) -> list[str]:
    """Names that `ldrestore convert` takes."""
    from ldrestore.checkpoints.published_catalog import OTHER_LAYOUTS
    from ldrestore.regressors.catalog import REGRESSORS

    return _starting([*REGRESSORS.names(), *OTHER_LAYOUTS], incomplete)


def complete_degradations(incomplete: str) -> list[str]:
    """The last name of a list such as "rain=0.7,ha"; what stands before it is kept."""
    from ldrestore.structures import FIRST_SET, MPERCEIVER_SET

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _starting(dict.fromkeys((*FIRST_SET, *MPERCEIVER_SET)), last)]


def complete_recipes(incomplete: str) -> list[str]:
    """The last step of a recipe such as "rain+jp"."""
    from ldrestore.degradations.catalog import DEGRADATIONS, MIXTURES

    before, plus, last = incomplete.rpartition("+")
    return [f"{before}{plus}{name}" for name in _starting([*DEGRADATIONS.names(), *MIXTURES], last)]


def complete_fetched(incomplete: str) -> list[str]:
    """What `ldrestore fetch` takes."""
    from ldrestore.checkpoints.published_catalog import PUBLISHED_MODELS

    return _starting(["metrics", *PUBLISHED_MODELS.names()], incomplete)


def complete_engines(incomplete: str) -> list[str]:
    """What `--engine` of `ldrestore restore` takes."""
    from ldrestore.tracks import list_engines

    return _starting([*list_engines(), "accelerate", "ray"], incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin with what is there."""
    return [name for name in names if name.startswith(incomplete)]
