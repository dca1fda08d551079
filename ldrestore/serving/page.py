"""The page: what stands where, and what calls what. Everything is served by this machine; nothing is fetched."""

from pathlib import Path
from typing import Any, Literal

import gradio as gr

from ldrestore import __version__
from ldrestore.images.formats import SUPPORTED_SUFFIXES
from ldrestore.options import MAX_SCALE
from ldrestore.serving.markup import message
from ldrestore.serving.page_handlers import NO_BARS, NO_PICTURE, PageHandlers

TITLE = "ldrestore"
ON_DEVICE = "device"
"""Calls that wait for a device stand in one row."""
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def refuse_addresses(component: gr.blocks.Block) -> None:
    """Let a component take files that were sent, and no addresses of files: the page fetches nothing for anybody.

    Gradio would fetch, for whoever writes an address where a file is expected, and for any component.

    Args:
        component: Of the page; it is changed.
    """
    take, take_later = component.move_resource_to_block_cache, component.async_move_resource_to_block_cache

    def local(path: str | Path | None) -> str | None:
        _check_no_address(path)
        return take(path)

    async def local_later(path: str | Path | None) -> str | None:
        _check_no_address(path)
        return await take_later(path)

    vars(component).update(move_resource_to_block_cache=local, async_move_resource_to_block_cache=local_later)


def _check_no_address(path: str | Path | None) -> None:
    """Only files.

    Raises:
        Error: an address.
    """
    if path is not None and "://" in str(path):
        raise gr.Error("send the picture itself; this page fetches nothing from addresses", print_exception=False)


def asset(name: str) -> str:
    """Text of a file beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def theme() -> gr.themes.Base:
    """Neutral greys around pictures, so that their colours are judged rightly; one accent; no fonts from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.neutral,
        font=FONTS,
        font_mono=MONO_FONTS,
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        body_background_fill="#f5f5f3",
        body_background_fill_dark="#141414",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1f1f1f",
        button_primary_background_fill="*primary_700",  # white upon it can be read: contrast above 4.5
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="#ffffff",
        block_info_text_color="*neutral_600",  # the smaller the letters the darker: contrast above 4.5
        block_info_text_color_dark="*neutral_400",
        slider_color="*primary_700",
        slider_color_dark="*primary_400",
    )


class Page:
    """The page's parts and their events."""

    def __init__(self, handlers: PageHandlers) -> None:
        """Build it.

        Args:
            handlers: What its events call.
        """
        self.handlers = handlers
        self.settings = handlers.studio.settings
        self.models = list(handlers.studio.models)
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(asset("header.html"), js_on_load=asset("header.js"), elem_id="ld-header", apply_default_css=False)
            with gr.Tabs(elem_id="ld-modes"):
                with gr.Tab("One picture"):
                    self._single()
                with gr.Tab("Many pictures"):
                    self._batch()
            gr.HTML(f"<p>ldrestore {__version__} · nothing is sent elsewhere</p>", elem_id="ld-footer")
            self._interface()
            blocks.unload(handlers.leave)
        for component in blocks.blocks.values():
            refuse_addresses(component)
        self.blocks = blocks

    def _upload(
        self,
        *,
        label: str,
        count: Literal["single", "multiple", "directory"] = "single",
        elem_id: str,
        height: int = 150,
    ) -> gr.File:
        """A place to drop files."""
        kinds = sorted(SUPPORTED_SUFFIXES)
        return gr.File(label=label, file_count=count, file_types=kinds, type="filepath", elem_id=elem_id, height=height)

    def _model(self, elem_id: str) -> gr.Dropdown:
        """A choice of models."""
        return gr.Dropdown(
            self.models, value=self.settings.first_model, label="Model", filterable=False, elem_id=elem_id
        )

    @staticmethod
    def _fidelity(elem_id: str) -> gr.Slider:
        """How much of the original is kept."""
        info = "0 is the model's result, 1 your picture as it was"
        return gr.Slider(0, 1, value=0, step=0.05, label="Keep of the original", info=info, elem_id=elem_id)

    @staticmethod
    def _grain(elem_id: str) -> gr.Slider:
        """How much film grain and paper is given back."""
        info = "0 is none of it, 1 as much as your picture had"
        return gr.Slider(0, 1, value=0, step=0.05, label="Film grain and paper", info=info, elem_id=elem_id)

    def _single(self) -> None:
        """One picture: what is asked at the left, what came of it at the right."""
        with gr.Row(equal_height=False, elem_classes="ld-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="ld-asked"):
                upload = self._upload(label="Your picture", elem_id="ld-upload")
                model = self._model("ld-model")
                about = gr.HTML(
                    message(self.handlers.studio.models[self.settings.first_model].summary),
                    elem_classes="ld-about",
                    apply_default_css=False,
                )
                bars = gr.HTML(
                    NO_BARS,
                    html_template='<div class="ld-bars" role="group" aria-label="What is wrong with it"></div>',
                    js_on_load=asset("bars.js"),
                    apply_default_css=False,
                    elem_id="ld-bars",
                )
                instruction = gr.Textbox(
                    label="Instruction",
                    placeholder="such as: remove the rain",
                    max_length=2000,
                    visible=False,
                    elem_id="ld-instruction",
                )
                fidelity = self._fidelity("ld-fidelity")
                grain = self._grain("ld-grain")
                with gr.Accordion("More", open=False, elem_id="ld-more"):
                    scale = gr.Slider(1, MAX_SCALE, value=1, step=1, label="Enlarge, times a side", elem_id="ld-scale")
                    steps = gr.Slider(1, 100, value=20, step=1, label="Steps", visible=False, elem_id="ld-steps")
                    mask = self._upload(label="Mask: white stays as it is", elem_id="ld-mask", height=150)
                go, stop = self._buttons("Restore", elem_id="ld-restore", stop_id="ld-cancel")
                status = gr.HTML(elem_id="ld-status", min_height=64, apply_default_css=False)
            with gr.Column(scale=7, min_width=300, elem_classes="ld-seen"):
                painter, results = self._views()
        call = gr.State(0)
        self._look_events(upload, model, results, [bars, painter, instruction, steps, about, status])
        wishes = [call, upload, model, bars, painter, mask, fidelity, grain, instruction, scale, steps]
        shown = [*results, status]
        self._run_events(go, stop, call, self.handlers.restore, wishes, shown, status, group=ON_DEVICE)

    @staticmethod
    def _buttons(label: str, *, elem_id: str, stop_id: str) -> tuple[gr.Button, gr.Button]:
        """What begins, and what calls off in its place."""
        go = gr.Button(label, variant="primary", size="lg", elem_id=elem_id)
        return go, gr.Button("Cancel", variant="stop", size="lg", visible=False, elem_id=stop_id)

    @staticmethod
    def _views() -> tuple[gr.HTML, list[Any]]:
        """The picture to paint upon; divider, map of changes, both downloads, record, and the tabs themselves."""
        with gr.Tabs(elem_id="ld-views") as views:
            with gr.Tab("Picture", id="picture"):
                painter = gr.HTML(
                    NO_PICTURE,
                    html_template=asset("painter.html"),
                    js_on_load=asset("painter.js"),
                    apply_default_css=False,
                    elem_id="ld-painter",
                )
            with gr.Tab("Compare", id="compare"):
                compare = gr.ImageSlider(
                    label="Before, after",
                    type="filepath",
                    interactive=False,
                    show_label=False,
                    max_height=760,
                    buttons=["fullscreen"],
                    elem_id="ld-compare",
                )
            with gr.Tab("Changes", id="changes"):
                changes = gr.Image(
                    label="What was changed",
                    type="filepath",
                    interactive=False,
                    show_label=False,
                    buttons=["fullscreen"],
                    elem_id="ld-changes",
                )
            with gr.Tab("Record", id="record"):
                record = gr.JSON(label="How the result was made", elem_id="ld-record")
        with gr.Row(elem_classes="ld-downloads"):
            download = gr.DownloadButton(
                "Download the picture", variant="primary", interactive=False, elem_id="ld-download"
            )
            download_record = gr.DownloadButton("Download its record", interactive=False, elem_id="ld-download-record")
        return painter, [compare, changes, download, download_record, record, views]

    def _batch(self) -> None:
        """Many pictures: what is asked at the left, states at the right."""
        with gr.Row(equal_height=False, elem_classes="ld-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="ld-asked"):
                uploads = self._upload(label="Your pictures", count="multiple", elem_id="ld-batch-upload", height=220)
                model = self._model("ld-batch-model")
                fidelity = self._fidelity("ld-batch-fidelity")
                grain = self._grain("ld-batch-grain")
                scale = gr.Slider(
                    1, MAX_SCALE, value=1, step=1, label="Enlarge, times a side", elem_id="ld-batch-scale"
                )
                go, stop = self._buttons("Restore all", elem_id="ld-batch-restore", stop_id="ld-batch-cancel")
                note = gr.HTML(elem_id="ld-batch-status", min_height=32, apply_default_css=False)
            with gr.Column(scale=7, min_width=300, elem_classes="ld-seen"):
                table = gr.HTML(
                    '<p class="ld-placeholder">The states of your pictures appear here.</p>',
                    elem_id="ld-states",
                    apply_default_css=False,
                )
                archive = gr.DownloadButton(
                    "Download all as a zip", variant="primary", interactive=False, elem_id="ld-zip"
                )
        call = gr.State(0)
        wishes = [call, uploads, model, fidelity, grain, scale]
        self._run_events(go, stop, call, self.handlers.restore_batch, wishes, [table, archive], note, group="batch")

    def _look_events(self, upload: Any, model: Any, results: list[Any], shown: list[Any]) -> None:
        """A new picture, or another model, is looked at, and what was made of the last picture goes."""
        status = shown[-1]
        plain: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        for begun in (
            upload.change(self.handlers.forget, inputs=upload, outputs=[*results, status], **plain),
            model.change(self.handlers.begin_look, inputs=upload, outputs=status, **plain),
        ):
            looked = begun.then(
                self.handlers.look,
                inputs=[upload, model],
                outputs=shown,
                concurrency_id=ON_DEVICE,
                concurrency_limit=self.handlers.studio.devices.num_devices,
                show_progress="minimal",
                show_progress_on=status,
                api_visibility="private",
                trigger_mode="always_last",
                api_name="page_look",
            )
            looked.failure(self.handlers.turn_away_look, outputs=status, **plain)

    def _run_events(
        self,
        go: Any,
        stop: Any,
        call: Any,
        run: Any,
        wishes: list[Any],
        results: list[Any],
        status: Any,
        *,
        group: str,
    ) -> None:
        """A button begins, another calls off; while the one runs the other shows."""
        begun = go.click(
            self.handlers.begin,
            outputs=[call, go, stop, status],
            queue=False,
            api_visibility="private",
            show_progress="hidden",
        )
        limit = self.handlers.studio.devices.num_devices if group == ON_DEVICE else 4
        run_event = begun.then(
            run,
            inputs=wishes,
            outputs=results,
            concurrency_id=group,
            concurrency_limit=limit,
            show_progress_on=status,
            api_visibility="private",
            api_name=f"page_{run.__name__}",
        )
        end: Any = self.handlers.end if group == ON_DEVICE else self.handlers.end_batch
        ended = [go, stop] if group == ON_DEVICE else [go, stop, status]
        plain: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        run_event.then(end, outputs=ended, **plain)
        run_event.failure(
            self.handlers.turn_away, outputs=[go, stop, status], **plain
        )  # `then` is not told of refusals
        stop.click(self.handlers.cancel, outputs=status, **plain)

    def _interface(self) -> None:
        """The HTTP interface, which has no part on the page."""
        with gr.Column(visible=False):
            picture = gr.File(label="picture", type="filepath")
            mask = gr.File(label="mask", type="filepath")
            model = gr.Textbox(self.settings.first_model, label="model")
            fidelity = gr.Number(0, label="fidelity")
            instruction = gr.Textbox("", label="instruction")
            degradations = gr.Textbox("", label="degradations")
            scale = gr.Number(1, label="scale")
            steps = gr.Number(None, label="steps")
            grain = gr.Number(0, label="grain")
            result = gr.File(label="result")
            record, estimate, models = gr.JSON(label="record"), gr.JSON(label="estimate"), gr.JSON(label="models")
            restore, look, names = gr.Button(), gr.Button(), gr.Button()
        limit = self.handlers.studio.devices.num_devices
        restore.click(
            self.handlers.call_restore,
            inputs=[picture, model, fidelity, instruction, degradations, mask, scale, steps, grain],
            outputs=[result, record],
            api_name="restore",
            concurrency_id=ON_DEVICE,
            concurrency_limit=limit,
        )
        look.click(
            self.handlers.call_look,
            inputs=[picture, model],
            outputs=estimate,
            api_name="estimate",
            concurrency_id=ON_DEVICE,
            concurrency_limit=limit,
        )
        names.click(self.handlers.call_models, outputs=models, api_name="models", queue=False)
