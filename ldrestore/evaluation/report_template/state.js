// What the reader chose. It stands in the address behind "#", so that a copied link shows the same; only what differs
// from the page's own choice is written, and what such a link names and the page does not have is ignored.
const pictureKey = (picture) => `${picture.dataset}/${picture.name}`;
const isNumber = (low, high) => (text) => text !== "" && Number(text) >= low && Number(text) <= high;
const ORDERS = { worst: "worst", best: "best", disputed: "most disputed", harmed: "least gain", name: "by name" };
const VIEWS = { slide: "Slide", blink: "Blink", side: "Side by side", error: "Error" };
const SIDES = ["input picture", "ground truth"].map((title, index) => ({ key: ["lq", "gt"][index], title }));

const allowed = {
  section: (text) => ["", "figures", "pictures", "against", "cost", "printed", "record"].includes(text),
  theme: (text) => ["auto", "light", "dark"].includes(text),
  metric: (text) => Boolean(metricOf(text)),
  sort: (text) => /^-?.+$/.test(text) || text === "",
  scoresort: (text) => /^-?.+$/.test(text) || text === "",
  bars: (text) => ["value", "gain"].includes(text),
  dataset: (text) => text === "" || datasets.includes(text),
  order: (text) => text in ORDERS,
  of: (text) => contestants.includes(text),
  picture: (text) => data.pictures.some((picture) => pictureKey(picture) === text),
  left: (text) => isSide(text),
  right: (text) => isSide(text),
  view: (text) => text in VIEWS,
  split: isNumber(0, 100),
  zoom: isNumber(1, 64),
  x: isNumber(0, 1),
  y: isNumber(0, 1),
  gain: isNumber(0, 5),
  period: isNumber(350, 2000),
  first: (text) => contestants.includes(text),
  second: (text) => contestants.includes(text),
};

// A side of the comparison is "lq", "gt", or "=" and the name of a contestant, so that a contestant may be called "gt".
function isSide(text) {
  return text === "lq" || text === "gt" || (text[0] === "=" && contestants.includes(text.slice(1)));
}

const lastModel = models.length ? models[models.length - 1] : untouched;
const defaults = {
  section: "",
  theme: "auto",
  metric: metrics.length ? metrics[0].name : "",
  sort: "",
  scoresort: "",
  bars: untouched && models.length ? "gain" : "value",
  dataset: "",
  order: models.length > 1 ? "disputed" : "worst",
  of: models[0] || untouched,
  picture: "",
  left: "lq",
  right: `=${models[0] || untouched}`,
  view: "slide",
  split: "50",
  zoom: "1",
  x: "0.5",
  y: "0.5",
  gain: "2",
  period: "700",
  first: models.length > 1 ? models[0] : untouched || models[0],
  second: models.length > 1 ? models[1] : lastModel,
};

function readAddress() {
  const found = { ...defaults };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(allowed, key) && allowed[key](value)) found[key] = value;
  }
  return found;
}

let state = readAddress();
const updates = [];
let writing = 0;

// Run `update` now, and whenever one of the keys changes.
function follow(keys, update) {
  updates.push({ keys, update });
}

function addressOf(choice) {
  const words = new URLSearchParams();
  for (const key of Object.keys(defaults)) if (choice[key] !== defaults[key]) words.set(key, choice[key]);
  return `#${words}`;
}

function writeAddress() {
  clearTimeout(writing);
  writing = 0;
  const address = addressOf(state);
  if (address !== (location.hash || "#")) history.replaceState(null, "", address);
}

function choose(choice) {
  const next = { ...state };
  for (const [key, value] of Object.entries(choice)) next[key] = String(value);
  show(next);
  if (!writing) writing = setTimeout(writeAddress, 120);
}

function show(next) {
  const changed = Object.keys(next).filter((key) => next[key] !== state[key]);
  state = next;
  for (const { keys, update } of updates) if (keys.some((key) => changed.includes(key))) update();
}

addEventListener("hashchange", () => show(readAddress()));

// Radio buttons in a row.
function segments(id, key, choices) {
  const radios = Object.entries(choices).map(([value, title]) => {
    const input = make("input", { type: "radio", name: key, value, onchange: () => choose({ [key]: value }) });
    return make("label", {}, input, make("span", {}, title));
  });
  put(id, ...radios);
  const update = () => {
    for (const input of byId(id).querySelectorAll("input")) input.checked = input.value === state[key];
  };
  follow([key], update);
  update();
}

// A list to choose from.
function choices(id, key, options) {
  const list = byId(id);
  list.replaceChildren(...options.map(([value, title]) => make("option", { value }, title)));
  list.addEventListener("change", () => choose({ [key]: list.value }));
  const update = () => (list.value = state[key]);
  follow([key], update);
  update();
}

// A table whose columns sort: click or Enter once for the best first, again for the other way round.
// columns: {key, title, value(row), cell(row), isLow: whether low values come first, isText}
function sortable(id, key, columns, rows) {
  const sort = state[key];
  const column = columns.find((each) => each.key === sort.replace(/^-/, ""));
  const isBack = sort.startsWith("-");
  const ordered = column ? sorted(rows, column, isBack) : rows;
  const head = columns.map((each) => {
    const isSorted = column === each;
    const way = isSorted ? (Boolean(each.isLow || each.isText) !== isBack ? "ascending" : "descending") : "none";
    const press = () => {
      choose({ [key]: isSorted ? (isBack ? "" : `-${each.key}`) : each.key });
      byId(id).querySelectorAll("th button")[columns.indexOf(each)].focus();
    };
    const button = make("button", { type: "button", onclick: press, title: each.hint }, each.title);
    return make("th", { scope: "col", "aria-sort": way, class: each.class }, button);
  });
  const body = ordered.map((row) =>
    make("tr", row.attributes || {}, ...columns.map((each, index) => cellOf(each, row, index)))
  );
  put(id, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

function cellOf(column, row, index) {
  const content = column.cell(row);
  const attributes = { class: column.class };
  return index === 0 ? make("th", { scope: "row", ...attributes }, content) : make("td", attributes, content);
}

function sorted(rows, column, isBack) {
  const isUp = Boolean(column.isLow || column.isText) !== isBack;
  const hasValue = (row) => column.value(row) !== null && column.value(row) !== undefined;
  const compare = (row, other) => {
    if (!hasValue(row) || !hasValue(other)) return Number(hasValue(other)) - Number(hasValue(row));
    const [first, second] = [column.value(row), column.value(other)];
    const way = column.isText ? first.localeCompare(second) : first - second;
    return isUp ? way : -way;
  };
  return [...rows].sort(compare);
}
