// Pictures in an order, as a strip to choose from.
const STEP = 24;
let count = STEP;

function valueOf(picture, metric, order) {
  const of = scoreOf(picture, state.of, metric);
  if (order === "worst" || order === "best") return of;
  if (order === "harmed") {
    const input = scoreOf(picture, untouched, metric);
    return of === undefined || input === undefined ? undefined : metric.lower_is_better ? input - of : of - input;
  }
  const rivals = models.length > 1 ? models : contestants;
  const values = rivals.map((name) => scoreOf(picture, name, metric)).filter((value) => value !== undefined);
  return values.length > 1 ? Math.max(...values) - Math.min(...values) : undefined;
}

// The pictures of the chosen dataset in the chosen order; those without a value last.
function orderedPictures() {
  const metric = metricOf(state.metric);
  const pictures = data.pictures.filter((picture) => !state.dataset || picture.dataset === state.dataset);
  if (!metric || state.order === "name") return pictures;
  const isUp = state.order === "harmed" || (state.order === "worst") !== metric.lower_is_better;
  const isFirstSmall = state.order === "disputed" ? false : isUp;
  const column = { value: (picture) => valueOf(picture, metric, state.order), isLow: isFirstSmall };
  return sorted(pictures, column, false);
}

function currentPicture() {
  const chosen = data.pictures.find((picture) => pictureKey(picture) === state.picture);
  const pictures = orderedPictures();
  return chosen && pictures.includes(chosen) ? chosen : pictures[0] || data.pictures[0];
}

function captionOf(picture, metric) {
  if (!metric) return "";
  if (state.order === "name") return shown(scoreOf(picture, state.of, metric), metric.digits);
  const value = valueOf(picture, metric, state.order);
  if (value === undefined) return "–";
  if (state.order === "harmed") return signed(value, metric.digits);
  return state.order === "disputed" ? `Δ ${shown(value, metric.digits)}` : shown(value, metric.digits);
}

function thumbnail(picture, metric) {
  const result = picture.results[state.of] || {};
  const address = addresses[result.picture] || addresses[picture.lq];
  const image = address ? make("img", { src: address, alt: "", loading: "lazy", decoding: "async" }) : make("span", { class: "no-picture" }, "not here");
  const isCurrent = currentPicture() === picture;
  const title = `${picture.dataset}, ${picture.name}`;
  const link = make("a", { href: addressOf({ ...state, picture: pictureKey(picture) }), title, "aria-current": isCurrent ? "true" : null, "data-picture": pictureKey(picture) }, image, make("span", { class: "thumb-name" }, picture.name), make("span", { class: "thumb-set" }, picture.dataset.replaceAll("_", " ")), make("span", { class: "thumb-value" }, captionOf(picture, metric)));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose({ picture: pictureKey(picture) });
  });
  return make("li", {}, link);
}

function updateStrip() {
  const pictures = orderedPictures();
  const metric = metricOf(state.metric);
  const items = pictures.slice(0, count).map((picture) => thumbnail(picture, metric));
  if (pictures.length > count) {
    const more = () => {
      count += STEP;
      updateStrip();
    };
    items.push(make("li", {}, make("button", { type: "button", class: "more", onclick: more }, `${pictures.length - count} more`)));
  }
  put("strip", ...items);
  byId("of-label").hidden = state.order === "disputed";
}

// What is marked as chosen; the strip itself stays, and so does the focus in it.
function updateChosen() {
  const key = data.pictures.length ? pictureKey(currentPicture()) : "";
  for (const link of byId("strip").querySelectorAll("a")) {
    if (link.dataset.picture === key) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function turn(step) {
  const pictures = orderedPictures();
  const place = pictures.indexOf(currentPicture()) + step;
  if (place >= 0 && place < pictures.length) {
    if (place >= count) {
      count += STEP;
      updateStrip();
    }
    choose({ picture: pictureKey(pictures[place]) });
  }
}

function startGallery() {
  choices("dataset", "dataset", [["", "all datasets"], ...datasets.map((name) => [name, name.replaceAll("_", " ")])]);
  const orders = Object.entries(ORDERS).filter(([key]) => key !== "harmed" || untouched);
  choices("order", "order", orders);
  choices("of", "of", contestants.map((name) => [name, name]));
  follow(["metric", "dataset", "order", "of"], () => {
    count = STEP;
    updateStrip();
  });
  follow(["picture"], updateChosen);
  updateStrip();
}
