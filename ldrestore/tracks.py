"""One record a track; nothing else asks which track a model is of. Importing this imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldrestore.errors import InputError, WeightsError, WeightsUnavailableError
from ldrestore.options import DeclaredOption, RestoreOptions, declared_options
from ldrestore.registry import Registry, TrackRecord, resolve

TRACKS: Registry[TrackRecord] = Registry("track")

TRACKS.register(
    TrackRecord(
        name="fast",
        pipeline="ldrestore.pipelines.pipeline_fast_restore:FastRestorePipeline",
        options="ldrestore.options:FastRestoreOptions",
        checks="ldrestore.pipelines.option_checks:checked_fast_options",
        facts="ldrestore.pipelines.pipeline_facts:facts_of_fast",
        explainer="ldrestore.explanations.fast_explainer:FastExplainer",
        explained_options=("instruction", "embedding", "degradations"),
        instruction_reader="ldrestore.pipelines.option_checks:instruction_reader_of",
        figures=(
            "differences.png",
            "estimate.png",
            "expert_maps.png",
            "instruction.png",
            "routing.png",
            "usage.png",
        ),
        engines=("local", "onnx"),
    )
)

TRACKS.register(
    TrackRecord(
        name="stable",
        pipeline="ldrestore.pipelines.pipeline_stable_restore:StableRestorePipeline",
        options="ldrestore.options:StableRestoreOptions",
        checks="ldrestore.pipelines.sampled_checks:checked_stable_options",
        facts="ldrestore.pipelines.sampled_facts:facts_of_stable",
        explainer="ldrestore.explanations.stable_explainer:StableExplainer",
        explained_options=("degradations", "num_inference_steps", "seed"),
        parts="ldrestore.systems.mperceiver_parts:MPERCEIVER_PARTS",
        figures=("differences.png", "estimate.png", "sampling.png", "text_embeddings.png", "visual_prompts.png"),
    )
)


TRACKS.register(
    TrackRecord(
        name="xl",
        pipeline="ldrestore.pipelines.pipeline_xl_restore:XLRestorePipeline",
        options="ldrestore.options:XLRestoreOptions",
        checks="ldrestore.pipelines.sampled_checks:checked_xl_options",
        facts="ldrestore.pipelines.sampled_facts:facts_of_xl",
        explainer="ldrestore.explanations.xl_explainer:XLExplainer",
        explained_options=("degradations", "guidance_scale", "instruction", "num_inference_steps", "prompt", "seed"),
        parts="ldrestore.systems.unildiff_parts:UNILDIFF_PARTS",
        figures=("alignment.png", "differences.png", "expert_choice.png", "expert_map.png", "sampling.png"),
    )
)

TRACKS.register(
    TrackRecord(
        name="foreign",
        pipeline="ldrestore.pipelines.pipeline_foreign_restore:ForeignRestorePipeline",
        options="ldrestore.options:RestoreOptions",
        facts="ldrestore.pipelines.foreign_facts:facts_of_foreign",
    )
)


def pipeline_name(track: TrackRecord) -> str:
    """Name of a track's pipeline class, which is not imported for it."""
    return track.pipeline.rpartition(":")[2]


def options_class_of(track: TrackRecord) -> type[RestoreOptions]:
    """The dataclass of a track's options."""
    options_class: type[RestoreOptions] = resolve(track.options)
    return options_class


def track_of_class(name: str | None, *, source: object) -> TrackRecord:
    """The track of a saved pipeline.

    Args:
        name: What the folder's index calls the class.
        source: The folder, for the message.

    Raises:
        WeightsError: no track has such a pipeline.
    """
    for track in TRACKS:
        if pipeline_name(track) == name:
            return track
    known = ", ".join(map(pipeline_name, TRACKS))
    raise WeightsError(f"{source} holds a {name}, which restores nothing here; known: {known}")


def track_of_adapters(pointer: Mapping[str, Any], *, source: object) -> TrackRecord:
    """The track of adapters alone; what names no pipeline was written when one track only had adapters.

    Args:
        pointer: What the adapters say of themselves.
        source: Their folder, for the message.

    Raises:
        WeightsError: no track has such a pipeline.
    """
    if "pipeline" in pointer:
        return track_of_class(pointer["pipeline"], source=source)
    return next(track for track in TRACKS if track.parts is not None)


def track_of_exports(folders: Sequence[Path]) -> TrackRecord:
    """The track of what training runs exported: the one that trains most of the parts that lie there.

    Args:
        folders: Each holds parts in folders of their own names.

    Raises:
        WeightsUnavailableError: no track trains any of them.
        WeightsError: a part's configuration is damaged.
    """
    known: list[str] = []
    counts: dict[str, int] = {}
    for track in TRACKS:
        if track.parts is None:
            continue
        trained = resolve(track.parts).trained
        known += [name for name in trained if name not in known]
        counts[track.name] = sum(
            _holds(folder / name, target) for name, target in trained.items() for folder in folders
        )
    best = max(counts, key=lambda name: counts[name], default=None)
    if best is None or not counts[best]:
        raise WeightsUnavailableError(
            f"{', '.join(map(str, folders))} holds none of {', '.join(known)}; give the export of a run"
        )
    return TRACKS.get(best)


def _holds(folder: Path, target: str) -> bool:
    """Whether a folder holds a part of a class."""
    from ldrestore.weights.folders import read_json

    path = folder / "config.json"
    return path.is_file() and read_json(path).get("_class_name") == target.rpartition(":")[2]


def track_of(pipeline: Any) -> TrackRecord:
    """The track of a loaded pipeline.

    Raises:
        InputError: no track has such a class.
    """
    names = {f"{base.__module__}:{base.__qualname__}" for base in type(pipeline).__mro__}
    for track in TRACKS:
        if track.pipeline in names:
            return track
    raise InputError(f"{type(pipeline).__name__} is the pipeline of no track; known: {', '.join(TRACKS.names())}")


def track_with_engine(engine: str) -> TrackRecord:
    """The first track whose models an engine computes."""
    return next(track for track in TRACKS if engine in track.engines)


def list_engines() -> tuple[str, ...]:
    """What computes the models of any track."""
    return tuple(dict.fromkeys(engine for track in TRACKS for engine in track.engines))


def options_of_all(names: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, DeclaredOption]:
    """Options that the command line offers, each once, by the keyword of the pipelines' calls.

    Where tracks leave one out in different ways, the help says which.

    Args:
        names: Name of a track to those of its options that are wanted; None for all that have a flag.

    Raises:
        InputError: two tracks declare an option of one name differently.
    """
    options: dict[str, DeclaredOption] = {}
    for track in TRACKS:
        for option in declared_options(options_class_of(track)):
            if option.flag is None or (names is not None and option.name not in names.get(track.name, ())):
                continue
            known = options.setdefault(option.name, option)
            is_switch_of_both = option.flag.kind is bool and known.default != option.default
            if known.flag != option.flag or is_switch_of_both:
                raise InputError(
                    f"the option {option.name} of the {track.name} track differs from another track's; give it the "
                    "same declaration, or another name"
                )
            if known.default != option.default and option.shown_default not in (None, known.shown_default):
                shown = f"{known.shown_default}; {option.shown_default} for models of the {track.name} track"
                options[option.name] = replace(known, shown_default=shown)
    return options


def check_taken(track: TrackRecord, names: Mapping[str, Any]) -> None:
    """Refuse options that a track does not take and another does.

    Args:
        track: Of the model.
        names: Of the options that were given, as pipelines call them.

    Raises:
        InputError: they are another track's.
    """
    own = _names_of(track)
    foreign = [option.flag for name, option in options_of_all().items() if name in names and name not in own]
    flags = [flag for flag in foreign if flag is not None]
    if not flags:
        return
    others = [other.name for other in TRACKS if _names_of(other) & (set(names) - own)]
    are, them = ("is", "it") if len(flags) == 1 else ("are", "them")
    instead = [flag.instead[1] for flag in flags if flag.instead is not None and flag.instead[0] in own]
    raise InputError(
        f"{' and '.join(flag.name for flag in flags)} {are} for models of the {' or '.join(others)} track, this one is "
        f"of the {track.name} track; {', '.join([f'leave {them} out', *instead])}, or name another --model"
    )


def _names_of(track: TrackRecord) -> set[str]:
    """Keywords of a track's options."""
    return {option.name for option in declared_options(options_class_of(track))}


def checked_options(pipeline: Any, options: RestoreOptions) -> RestoreOptions:
    """Options as the pipeline's call takes them, refused before a picture is read where the model would refuse them.

    Args:
        pipeline: Loaded.
        options: Of its track.

    Raises:
        InputError: the model does not take one, or not such a value.
        LDRestoreError: what an option names cannot be had.
    """
    checks = track_of(pipeline).checks
    return options if checks is None else resolve(checks)(pipeline, options)
