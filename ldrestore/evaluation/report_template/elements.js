// Elements of the page. Texts of the results become text nodes and attributes, never mark-up.
const data = JSON.parse(document.getElementById("data").textContent);
const addresses = JSON.parse(document.getElementById("addresses").textContent);
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) element.style.setProperty(key, part);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function put(id, ...children) {
  byId(id).replaceChildren(...children.filter((child) => child !== null));
}

const contestants = data.contestants.map((row) => row.name);
const metrics = data.metrics.filter((row) => !row.unavailable && data.means[row.name]);
const metricOf = (name) => metrics.find((row) => row.name === name);
const datasets = data.datasets.map((row) => row.name);
const untouched = (data.contestants.find((row) => row.kind === "input") || {}).name;
const models = contestants.filter((name) => name !== untouched);

// The untouched input is grey; the others take colours in their order.
function colourOf(name) {
  return name === untouched ? "var(--grey-mark)" : `var(--mark-${models.indexOf(name) % 8})`;
}

function swatch(name) {
  return make("span", { class: "swatch", "aria-hidden": "true", style: { "--colour": colourOf(name) } });
}

function shown(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

// Three digits that count: seconds of a small network and of a long sampling stand in one column.
function inThreeDigits(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

function signed(value, digits) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

function arrow(metric) {
  return metric.lower_is_better ? "↓" : "↑";
}

// Whether the first value is better than the second.
function isBetter(metric, value, other) {
  return metric.lower_is_better ? value < other : value > other;
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
