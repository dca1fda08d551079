// The table of means, and the bars of each task.
const meanOf = (metric, name, column) => ((data.means[metric.name] || {})[name] || {})[column];

function columnsOf(metric) {
  const names = [...datasets, ...Object.keys(data.averages)];
  return names.filter((column) => contestants.some((name) => meanOf(metric, name, column)));
}

// The best mean over the most pictures: one over fewer is never bold.
function bestOf(metric, column) {
  const rows = contestants.map((name) => meanOf(metric, name, column)).filter(Boolean);
  const most = Math.max(...rows.map((row) => row.pictures));
  const values = rows.filter((row) => row.pictures === most).map((row) => row.mean);
  return metric.lower_is_better ? Math.min(...values) : Math.max(...values);
}

// How many pictures a column has.
function countOf(column) {
  const parts = data.averages[column] || [column];
  return data.datasets.filter((row) => parts.includes(row.name)).reduce((sum, row) => sum + row.num_pictures, 0);
}

function meanCell(metric, row, best, column) {
  if (!row) return "–";
  const star = row.cap === null ? null : make("abbr", { title: `a picture counts at most ${row.cap} dB` }, "*");
  const value = shown(row.mean, metric.digits);
  const isWhole = contestants.every((name) => (meanOf(metric, name, column) || row).pictures <= row.pictures);
  const parts = [make(row.mean === best && isWhole ? "strong" : "span", { class: "value" }, value, star)];
  if (row.spread !== null) parts.push(make("small", { title: "standard deviation over seeds" }, `± ${shown(row.spread, metric.digits)}`));
  if (row.low !== null) {
    parts.push(make("small", {}, `${shown(row.low, metric.digits)} – ${shown(row.high, metric.digits)}`));
  }
  if (row.pictures < countOf(column)) parts.push(make("small", {}, `${row.pictures} of ${countOf(column)} pictures`));
  return parts;
}

function nameCell(name) {
  return make("span", { class: "name" }, swatch(name), make("span", {}, name));
}

function updateMeans() {
  const metric = metricOf(state.metric);
  if (!metric) return put("means", make("p", { class: "note" }, "No metric could be computed; see below why."));
  const columns = columnsOf(metric).map((name) => {
    const best = bestOf(metric, name);
    const about = data.datasets.find((row) => row.name === name);
    return {
      key: name,
      title: name.replaceAll("_", " "),
      hint: about ? `${about.title}: ${about.making}; ${plural(about.num_pictures, "picture")}` : "average of datasets",
      class: about ? undefined : "average",
      isLow: metric.lower_is_better,
      value: (row) => (meanOf(metric, row.name, name) || {}).mean,
      cell: (row) => meanCell(metric, meanOf(metric, row.name, name), best, name),
    };
  });
  const rows = contestants.filter((name) => data.means[metric.name][name]).map((name) => ({ name }));
  const title = { key: "name", title: `${metric.name} ${arrow(metric)}`, isText: true, value: (row) => row.name, cell: (row) => nameCell(row.name) };
  sortable("means", "sort", [title, ...columns], rows);
  put(
    "metric-note",
    `${metric.name}: ${metric.lower_is_better ? "lower" : "higher"} is better. Protocol ${data.protocol.name}. ` +
      "Below each mean its 95 % interval, by a bootstrap over scenes, of three or more; the best mean of a column is bold, which alone " +
      "does not make it better: see the verdicts."
  );
}

// The paired difference of a contestant from the untouched input, with its interval.
function gainOf(metric, name, dataset) {
  const isOf = (row) => row.metric === metric.name && row.dataset === dataset;
  const row = data.comparisons.find((each) => isOf(each) && each.first === untouched && each.second === name);
  if (row) return { value: row.difference, low: row.low, high: row.high };
  const [own, input] = [meanOf(metric, name, dataset), meanOf(metric, untouched, dataset)];
  return own && input ? { value: own.mean - input.mean, low: null, high: null } : null;
}

function barOf(metric, name, dataset) {
  if (state.bars === "gain" && untouched) return name === untouched ? null : gainOf(metric, name, dataset);
  const row = meanOf(metric, name, dataset);
  return row ? { value: row.mean, low: row.low, high: row.high } : null;
}

function updateBars() {
  const metric = metricOf(state.metric);
  if (!metric) return put("bars");
  const isGain = state.bars === "gain" && Boolean(untouched);
  const tasks = datasets.map((dataset) => ({
    dataset,
    bars: contestants.map((name) => ({ name, ...barOf(metric, name, dataset) })).filter((bar) => bar.value !== undefined),
  }));
  const ends = tasks.flatMap(({ bars }) => bars.flatMap((bar) => [bar.value, bar.low ?? bar.value, bar.high ?? bar.value]));
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const scale = (value) => `${(100 * (value - low)) / (high - low || 1)}%`;
  put("legend", ...contestants.filter((name) => !isGain || name !== untouched).map((name) => make("li", {}, nameCell(name))));
  put("bars", ...tasks.filter(({ bars }) => bars.length).map((task) => barCard(metric, task, scale, isGain)));
}

function barCard(metric, task, scale, isGain) {
  const about = data.datasets.find((row) => row.name === task.dataset);
  const text = (bar) => (isGain ? signed(bar.value, metric.digits) : shown(bar.value, metric.digits));
  const rows = task.bars.map((bar) => {
    const range = bar.low === null ? "" : `, 95 % interval ${shown(bar.low, metric.digits)} to ${shown(bar.high, metric.digits)}`;
    const [from, to] = [Math.min(0, bar.value), Math.max(0, bar.value)];
    const whisker = bar.low === null ? null : make("span", { class: "whisker", style: { left: scale(bar.low), width: `calc(${scale(bar.high)} - ${scale(bar.low)})` } });
    const body = make("span", { class: "bar", style: { left: scale(from), width: `calc(${scale(to)} - ${scale(from)})`, "--colour": colourOf(bar.name) } });
    const zero = make("span", { class: "zero", style: { left: scale(0) } });
    const label = `${bar.name}: ${text(bar)}${range}`;
    return make("li", { title: label }, make("span", { class: "track", role: "img", "aria-label": label }, body, whisker, zero), make("span", { class: "bar-value", "aria-hidden": "true" }, text(bar)));
  });
  const open = make("a", { href: addressOf({ ...state, dataset: task.dataset, section: "pictures" }), title: "Look at these pictures" }, task.dataset.replaceAll("_", " "));
  return make("div", { class: "bar-card" }, make("h4", {}, open, make("small", {}, plural(about.num_pictures, "picture"))), make("ul", {}, ...rows));
}

function startFigures() {
  segments("metric", "metric", Object.fromEntries(metrics.map((row) => [row.name, `${row.name} ${arrow(row)}`])));
  const isWithInput = Boolean(untouched) && models.length > 0;
  if (isWithInput) segments("bars-of", "bars", { gain: "gain over the input", value: "value" });
  follow(["metric", "sort"], updateMeans);
  follow(["metric", "bars"], updateBars);
  updateMeans();
  updateBars();
}
