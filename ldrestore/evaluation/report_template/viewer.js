// Two pictures compared: a divider, blinking, side by side, or their errors; zoom and place are the same for both.
const stage = byId("stage");
const panes = ["a", "b"].map((side) => {
  const [image, reference] = stage.querySelectorAll(`.pane-${side} img`);
  return { pane: stage.querySelector(`.pane-${side}`), image, reference, missing: stage.querySelector(`.pane-${side} .missing`), tag: stage.querySelector(`.tag-${side}`) };
});
let isRunning = false;
let isSecond = false;
let timer = 0;

function sideName(side) {
  return side === "lq" ? "input picture" : side === "gt" ? "ground truth" : side.slice(1);
}

function sidePicture(picture, side) {
  if (side === "lq" || side === "gt") return picture[side];
  return (picture.results[side.slice(1)] || {}).picture;
}

// Why a side has no picture to show.
function absence(picture, side) {
  const result = side[0] === "=" ? picture.results[side.slice(1)] : null;
  if (result && result.failure) return `failed: ${result.failure}`;
  if (side === "gt" && !picture.gt) return "this dataset has no ground truth";
  if (side[0] === "=" && !result) return `${side.slice(1)} takes no part in this dataset`;
  return "the picture is not here: keep the folder of the report beside it, or give its --data-root";
}

// What errors are held against: the ground truth, or where there is none the other side.
function referenceOf(picture, side) {
  return picture.gt || sidePicture(picture, side === state.left ? state.right : state.left);
}

function updatePanes() {
  const picture = currentPicture();
  if (!picture) return;
  const isError = state.view === "error";
  [state.left, state.right].forEach((side, index) => {
    const { image, reference, missing, tag, pane } = panes[index];
    const address = addresses[sidePicture(picture, side)];
    const other = isError ? addresses[referenceOf(picture, side)] : undefined;
    setSource(image, address, `${sideName(side)} of ${picture.name}`);
    setSource(reference, address && other, "");
    missing.hidden = Boolean(address) && (!isError || Boolean(other));
    missing.textContent = address ? "there is nothing to hold it against" : absence(picture, side);
    tag.textContent = isError ? `error of ${sideName(side)}` : sideName(side);
    pane.classList.toggle("is-error", isError);
  });
  updateCaption(picture);
  updateScores(picture);
  place();
}

function setSource(image, address, text) {
  image.hidden = !address;
  image.alt = text;
  if (address) {
    if (image.getAttribute("src") !== address) image.src = address;
  } else image.removeAttribute("src");
}

function updateCaption(picture) {
  const about = data.datasets.find((row) => row.name === picture.dataset);
  const pictures = orderedPictures();
  const size = `${picture.width} × ${picture.height}`;
  put("caption", make("strong", {}, picture.name), ` ${about.title} · ${about.name.replaceAll("_", " ")} (${about.making}) · ${size} · ${pictures.indexOf(picture) + 1} of ${pictures.length}`);
}

function updateScores(picture) {
  const known = contestants.filter((name) => picture.results[name]);
  const rows = known.map((name) => ({ name, ...picture.results[name], attributes: { class: rowClass(name) } }));
  const pick = (row) => make("button", { type: "button", class: "pick", title: "Show as B", onclick: () => choose({ right: `=${row.name}` }) }, nameCell(row.name));
  const columns = [{ key: "name", title: "restored by", isText: true, value: (row) => row.name, cell: pick }];
  for (const metric of metrics.filter((row) => row.compares !== "sets")) {
    const values = rows.map((row) => row.scores[metric.name]).filter((value) => value !== undefined);
    const best = metric.lower_is_better ? Math.min(...values) : Math.max(...values);
    columns.push({
      key: metric.name,
      title: `${metric.name} ${arrow(metric)}`,
      isLow: metric.lower_is_better,
      value: (row) => row.scores[metric.name],
      cell: (row) => make(row.scores[metric.name] === best ? "strong" : "span", { class: "value" }, shown(row.scores[metric.name], metric.digits)),
    });
  }
  columns.push({ key: "seconds", title: "seconds", isLow: true, value: (row) => row.seconds, cell: (row) => shown(row.seconds, 2) });
  if (rows.some((row) => row.damage.length || row.failure)) {
    const words = (row) => row.failure || row.damage.slice(0, 4).map(([name, part]) => `${name.replaceAll("_", " ")} ${part.toFixed(2)}`).join(", ");
    columns.push({ key: "damage", title: "took it for", isText: true, class: "words", value: words, cell: words });
  }
  sortable("scores", "scoresort", columns, rows);
}

function rowClass(name) {
  return `=${name}` === state.right ? "is-b" : `=${name}` === state.left ? "is-a" : "";
}

// Size of one pane, and of the picture in it when it fits.
function measures() {
  const picture = currentPicture();
  const isPair = state.view === "side" || state.view === "error";
  const isStacked = isPair && stage.clientWidth < 560;
  const width = isPair && !isStacked ? (stage.clientWidth - 2) / 2 : stage.clientWidth;
  const limit = Math.max(220, innerHeight * (isStacked ? 0.42 : 0.72));
  const height = Math.min(limit, Math.max(180, (width * picture.height) / picture.width));
  return { width, height, isStacked, fit: Math.min(width / picture.width, height / picture.height), picture };
}

function place() {
  if (!data.pictures.length) return;
  const { width, height, isStacked, fit, picture } = measures();
  const scale = fit * Number(state.zoom);
  const [x, y] = [["x", width, picture.width], ["y", height, picture.height]].map(([key, room, size]) => {
    const half = Math.min(0.5, room / (2 * size * scale));
    return room / 2 - Math.min(1 - half, Math.max(half, Number(state[key]))) * size * scale;
  });
  stage.style.height = `${isStacked ? 2 * height + 2 : height}px`;
  stage.dataset.view = state.view;
  stage.classList.toggle("is-stacked", isStacked);
  for (const { image, reference } of panes) {
    for (const each of [image, reference]) {
      each.style.width = `${picture.width * scale}px`;
      each.style.height = `${picture.height * scale}px`;
      each.style.transform = `translate(${x}px, ${y}px)`;
      each.classList.toggle("is-large", scale * devicePixelRatio >= 2);
    }
  }
  stage.style.setProperty("--split", `${state.split}%`);
  stage.classList.toggle("is-second", isSecond);
  byId("zoom-value").textContent = `${Math.round(scale * 100)} %`;
}

function updateTools() {
  byId("split-label").hidden = state.view !== "slide";
  byId("blink-tools").hidden = state.view !== "blink";
  byId("gain-label").hidden = state.view !== "error";
  byId("split").value = state.split;
  byId("period").value = state.period;
  byId("gain").value = state.gain;
  byId("period-value").textContent = `${(Number(state.period) / 1000).toFixed(2)} s`;
  byId("gain-value").textContent = String(2 ** Number(state.gain));
  const part = (2 ** Number(state.gain) / 3).toFixed(4);
  const row = `${part} ${part} ${part} 0 0 `;
  byId("error-gain").setAttribute("values", `${row}${row}${row}0 0 0 1 0`);
}

// Blinking starts by itself, unless the reader's system asks for less motion.
function updateBlink() {
  const wantsStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  run(state.view === "blink" && !wantsStill);
  if (state.view !== "blink") isSecond = false;
}

function run(isOn) {
  clearInterval(timer);
  isRunning = isOn;
  if (isOn) timer = setInterval(swap, Number(state.period));
  byId("blink-run").textContent = isOn ? "Stop" : "Start";
  byId("blink-run").setAttribute("aria-pressed", String(isOn));
}

function swap() {
  isSecond = !isSecond;
  stage.classList.toggle("is-second", isSecond);
}

// Zoom by a factor; the point of the picture below (left, top) of the pane stays where it is.
function zoomBy(factor, left, top) {
  const { width, height, fit, picture } = measures();
  const zoom = Math.min(64, Math.max(1, Number(state.zoom) * factor));
  const [before, after] = [fit * Number(state.zoom), fit * zoom];
  const [dx, dy] = [(left ?? width / 2) - width / 2, (top ?? height / 2) - height / 2];
  moveTo(zoom, Number(state.x) + (dx / before - dx / after) / picture.width, Number(state.y) + (dy / before - dy / after) / picture.height);
}

// The picture's point (x, y), in its own sides, comes to the middle, as far as no edge is left uncovered.
function moveTo(zoom, x, y) {
  const { width, height, fit, picture } = measures();
  const kept = (value, room, size) => {
    const half = Math.min(0.5, room / (2 * size * fit * zoom));
    return Math.min(1 - half, Math.max(half, value)).toFixed(4).replace(/\.?0+$/, "");
  };
  choose({ zoom: Number(zoom.toFixed(3)), x: kept(x, width, picture.width), y: kept(y, height, picture.height) });
}

function moveBy(dx, dy) {
  const { fit, picture } = measures();
  const scale = fit * Number(state.zoom);
  moveTo(Number(state.zoom), Number(state.x) - dx / (picture.width * scale), Number(state.y) - dy / (picture.height * scale));
}

// Where a pointer is in its pane.
function paneSpot(event) {
  const { width, height } = measures();
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) % (width + 2), (event.clientY - box.top) % (height + 2)];
}

const pointers = new Map();
let grip = null;

function press(event) {
  if (event.button > 0) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  const box = stage.getBoundingClientRect();
  const isNear = Math.abs(event.clientX - box.left - (box.width * Number(state.split)) / 100) < 28;
  grip = state.view === "slide" && (isNear || Number(state.zoom) === 1) ? "divider" : "picture";
  if (grip === "divider" && pointers.size === 1) slideTo(event);
}

function slideTo(event) {
  const box = stage.getBoundingClientRect();
  choose({ split: Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)).toFixed(1).replace(/\.0$/, "") });
}

function drag(event) {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  const others = [...pointers.values()].filter((each) => each.pointerId !== event.pointerId);
  pointers.set(event.pointerId, event);
  if (others.length) {
    const away = (each) => Math.hypot(each.clientX - others[0].clientX, each.clientY - others[0].clientY) || 1;
    return zoomBy(away(event) / away(last), ...paneSpot(others[0]));
  }
  if (grip === "divider") slideTo(event);
  else moveBy(event.clientX - last.clientX, event.clientY - last.clientY);
}

function release(event) {
  pointers.delete(event.pointerId);
  if (!pointers.size) grip = null;
}

const KEYS = {
  "+": () => zoomBy(1.5),
  "=": () => zoomBy(1.5),
  "-": () => zoomBy(1 / 1.5),
  0: () => moveTo(1, 0.5, 0.5),
  1: () => showPixels(),
  n: () => turn(1),
  p: () => turn(-1),
  " ": () => (state.view === "blink" ? (run(false), swap()) : choose({ view: "blink" })),
  ArrowLeft: () => step(1, 0),
  ArrowRight: () => step(-1, 0),
  ArrowUp: () => step(0, 1),
  ArrowDown: () => step(0, -1),
};

// Arrows move the divider while the picture fits, and the picture while it does not.
function step(x, y) {
  if (state.view === "slide" && Number(state.zoom) === 1) {
    if (x) choose({ split: Math.min(100, Math.max(0, Number(state.split) - 2 * x)) });
  } else moveBy(40 * x, 40 * y);
}

function showPixels() {
  const { fit } = measures();
  moveTo(Math.min(64, Math.max(1, 1 / (fit * devicePixelRatio))), Number(state.x), Number(state.y));
}

function listen() {
  stage.addEventListener("pointerdown", press);
  stage.addEventListener("pointermove", drag);
  for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, release);
  stage.addEventListener("dblclick", (event) => (Number(state.zoom) > 1 ? moveTo(1, 0.5, 0.5) : zoomBy(4, ...paneSpot(event))));
  // The wheel zooms only with Ctrl or after a click into the picture, so that the page can be scrolled past it.
  const wheel = (event) => {
    if (!event.ctrlKey && document.activeElement !== stage) return;
    event.preventDefault();
    zoomBy(1.0016 ** -event.deltaY, ...paneSpot(event));
  };
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  for (const key of ["split", "period", "gain"]) byId(key).addEventListener("input", () => choose({ [key]: byId(key).value }));
  const buttons = { "zoom-in": "+", "zoom-out": "-", "zoom-fit": "0", "zoom-pixels": "1", before: "p", after: "n" };
  for (const [id, key] of Object.entries(buttons)) byId(id).addEventListener("click", () => KEYS[key]());
  byId("blink-run").addEventListener("click", () => run(!isRunning));
  byId("blink-swap").addEventListener("click", () => (run(false), swap()));
  new ResizeObserver(() => requestAnimationFrame(place)).observe(stage);
  addEventListener("resize", place);
}

function startViewer() {
  const options = [...SIDES.map(({ key, title }) => [key, title]), ...contestants.map((name) => [`=${name}`, name])];
  choices("left", "left", options);
  choices("right", "right", options);
  segments("view", "view", VIEWS);
  follow(["metric", "dataset", "order", "of", "picture", "left", "right", "view", "scoresort"], updatePanes);
  follow(["split", "zoom", "x", "y"], place);
  follow(["view", "split", "gain", "period"], updateTools);
  follow(["view", "period"], updateBlink);
  listen();
  updateTools();
  updateBlink();
  updatePanes();
}
