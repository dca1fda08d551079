// What a reader must know of the figures: protocol, contestants, datasets, metrics, printed tables, failures.
function listed(title, rows, isOpen = false) {
  if (!rows.length) return null;
  return make("details", { open: isOpen }, make("summary", {}, title, make("small", {}, String(rows.length))), make("ul", {}, ...rows.map((row) => make("li", {}, row))));
}

function settingsOf(title, rows) {
  if (!rows.length) return null;
  const terms = rows.flatMap(([name, value]) => [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, value)]);
  return make("details", {}, make("summary", {}, title), make("dl", {}, ...terms));
}

function contestantText(row) {
  const options = row.options.map(([name, value]) => `${name} ${value}`).join(", ");
  const seeds = row.num_seeds > 1 ? `mean of ${row.num_seeds} seeds; the first one's pictures are shown` : "";
  return [row.kind, options, seeds, row.licence && `licence ${row.licence}`, row.identity].filter(Boolean).join("; ");
}

function entry(name, text) {
  return [make("strong", {}, name), ` ${text}`];
}

function metricText(row) {
  const weights = row.weights_sha256 ? `weights ${row.weights_sha256.slice(0, 16)}` : "";
  return [row.source, row.version, weights, row.unavailable && `unavailable: ${row.unavailable}`].filter(Boolean).join("; ");
}

function datasetText(row) {
  const whole = row.num_published === null ? "" : ` of ${row.num_published}`;
  return [`${row.title}: ${row.making}`, `${row.num_pictures}${whole} pictures`, row.layout, row.terms, ...row.notes].filter(Boolean).join("; ");
}

function startRecord() {
  const failures = data.failures.map((row) => entry(`${row.contestant}, ${row.dataset}, ${row.picture}`, row.reason));
  const unavailable = data.metrics.filter((row) => row.unavailable).map((row) => entry(row.name, row.unavailable));
  put(
    "record-parts",
    listed("Failed", failures, true),
    listed("Unavailable metrics", unavailable, true),
    listed("To be known", data.notes, data.notes.length < 6),
    settingsOf(`Protocol ${data.protocol.name}`, data.protocol.settings),
    listed("Contestants", data.contestants.map((row) => entry(row.name, contestantText(row)))),
    listed("Datasets", data.datasets.map((row) => entry(row.name, datasetText(row)))),
    listed("Metrics", data.metrics.map((row) => entry(row.name, metricText(row)))),
    ...data.environments.map((rows) => settingsOf("Machine and versions", rows))
  );
  byId("printed").hidden = !data.published.length;
  put("printed-tables", ...data.published.map(printedTable));
}

function printedTable(table) {
  const head = ["", ...table.columns].map((title) => make("th", { scope: "col" }, title));
  const lines = table.rows.map(([method, ...cells]) => make("tr", {}, make("th", { scope: "row" }, method), ...cells.map((cell) => make("td", {}, cell))));
  const body = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines));
  return make("details", { open: data.published.length < 3 }, make("summary", {}, `${table.paper}, ${table.label}`), make("p", { class: "note" }, `${table.caption} Protocol as printed: ${table.protocol}. Source: ${table.source}.`), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${table.paper}, ${table.label}` }, body));
}
