// One contestant against another, and quality against time.
const SIDE = 460;
const MARGIN = { left: 58, right: 16, top: 14, bottom: 48 };

function ticksOf(low, high, count = 5) {
  const rough = (high - low || 1) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 2.5, 5, 10].find((factor) => factor * unit >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function padded(values, share = 0.06) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) || 1) * share;
  return [low - pad, high + pad];
}

// A frame with axes: x and y are {title, range, ticks, text}; gives the drawing and the places of values.
function frame(x, y, height, label) {
  const across = (value) => MARGIN.left + ((value - x.range[0]) / (x.range[1] - x.range[0])) * (SIDE - MARGIN.left - MARGIN.right);
  const up = (value) => height - MARGIN.bottom - ((value - y.range[0]) / (y.range[1] - y.range[0])) * (height - MARGIN.top - MARGIN.bottom);
  const drawing = draw("svg", { viewBox: `0 0 ${SIDE} ${height}`, role: "group", "aria-label": label });
  for (const tick of x.ticks) {
    drawing.append(draw("line", { class: "grid", x1: across(tick), x2: across(tick), y1: MARGIN.top, y2: height - MARGIN.bottom }));
    drawing.append(draw("text", { class: "tick", x: across(tick), y: height - MARGIN.bottom + 17, "text-anchor": "middle" }, x.text(tick)));
  }
  for (const tick of y.ticks) {
    drawing.append(draw("line", { class: "grid", x1: MARGIN.left, x2: SIDE - MARGIN.right, y1: up(tick), y2: up(tick) }));
    drawing.append(draw("text", { class: "tick", x: MARGIN.left - 8, y: up(tick) + 4, "text-anchor": "end" }, y.text(tick)));
  }
  drawing.append(draw("text", { class: "axis", x: (SIDE + MARGIN.left - MARGIN.right) / 2, y: height - 8, "text-anchor": "middle" }, x.title));
  const middle = (height - MARGIN.bottom + MARGIN.top) / 2;
  drawing.append(draw("text", { class: "axis", x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, y.title));
  return { drawing, across, up };
}

const scoreOf = (picture, name, metric) => ((picture.results[name] || {}).scores || {})[metric.name];

function updateScatter() {
  const metric = metricOf(state.metric);
  const [first, second] = [state.first, state.second];
  const points = metric
    ? data.pictures
        .map((picture) => ({ picture, x: scoreOf(picture, first, metric), y: scoreOf(picture, second, metric) }))
        .filter((point) => point.x !== undefined && point.y !== undefined)
    : [];
  if (!points.length) {
    put("scatter");
    return put("scatter-note", `No picture has a value of ${state.metric} for both.`);
  }
  const range = padded(points.flatMap((point) => [point.x, point.y]));
  const ticks = ticksOf(...range);
  const text = (tick) => String(tick);
  const axis = (name) => ({ title: name.length > 44 ? `${name.slice(0, 43)}…` : name, range, ticks, text });
  const { drawing, across, up } = frame(axis(first), axis(second), SIDE, `${metric.name} of ${second} against ${first}`);
  drawing.append(draw("line", { class: "diagonal", x1: across(range[0]), y1: up(range[0]), x2: across(range[1]), y2: up(range[1]) }));
  for (const point of points) drawing.append(scatterPoint(point, metric, across, up));
  put("scatter", drawing);
  const wins = points.filter((point) => isBetter(metric, point.y, point.x)).length;
  const losses = points.filter((point) => isBetter(metric, point.x, point.y)).length;
  put("scatter-note", `${metric.name} ${arrow(metric)} of ${plural(points.length, "picture")}: ${second} is better on ${wins}, ${first} on ${losses}. Each point opens its picture${state.dataset ? `; those of ${state.dataset} are filled` : ""}.`);
}

function scatterPoint(point, metric, across, up) {
  const { picture, x, y } = point;
  const winner = x === y ? untouched : isBetter(metric, y, x) ? state.second : state.first;
  const label = `${picture.dataset}, ${picture.name}: ${state.first} ${shown(x, metric.digits)}, ${state.second} ${shown(y, metric.digits)}`;
  const isIn = !state.dataset || picture.dataset === state.dataset;
  const dot = draw("circle", { cx: across(x), cy: up(y), r: 5, class: isIn ? "dot" : "dot far", style: { "--colour": colourOf(winner) } }, draw("title", {}, label));
  const sides = { left: `=${state.first}`, right: `=${state.second}` };
  return draw("a", { href: addressOf({ ...state, ...sides, dataset: "", picture: pictureKey(picture), section: "pictures" }), "aria-label": label }, dot);
}

function updateVerdicts() {
  const metric = metricOf(state.metric);
  const [first, second] = [state.first, state.second];
  const isPair = (row) => [row.first, row.second].includes(first) && [row.first, row.second].includes(second);
  const rows = metric && first !== second ? data.comparisons.filter((row) => row.metric === metric.name && isPair(row)) : [];
  if (!rows.length) {
    put("verdicts");
    return put("verdict-note", "No comparison of these two.");
  }
  const lines = rows.map((row) => {
    const isSame = row.second === second;
    const [low, high] = isSame ? [row.low, row.high] : [-row.high, -row.low];
    const range = row.low === null ? null : make("small", {}, `${signed(low, metric.digits)} – ${signed(high, metric.digits)}`);
    const winner = row.verdict === "tied" ? null : row[row.verdict];
    const tied = make("span", { class: "chip" }, "tied");
    const chip = winner === null ? tied : make("span", { class: "chip won", style: { "--colour": colourOf(winner) } }, winner);
    return make("tr", {}, make("th", { scope: "row" }, row.dataset.replaceAll("_", " ")), make("td", {}, make("span", { class: "value" }, signed(isSame ? row.difference : -row.difference, metric.digits)), range), make("td", {}, row.p_holm < 0.001 ? "< 0.001" : row.p_holm.toFixed(3)), make("td", {}, chip));
  });
  const head = ["dataset", `difference, ${metric.name}`, "p", "better"].map((title) => make("th", { scope: "col" }, title));
  put("verdicts", make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines)));
  put("verdict-note", `${second} minus ${first} on the same pictures, with 95 % intervals over scenes; p after Holm over the datasets. What is not below ${data.level} is tied: n scenes cannot give a p below 2/2ⁿ, and fewer than 6 show no difference.`);
}

// What stands for the quality of a contestant: the first average that it has, or the mean over all datasets.
function qualityOf(metric, name) {
  const average = Object.keys(data.averages).find((column) => contestants.some((each) => meanOf(metric, each, column)));
  if (average) return (meanOf(metric, name, average) || {}).mean;
  const rows = datasets.map((column) => meanOf(metric, name, column));
  return rows.every(Boolean) ? rows.reduce((sum, row) => sum + row.mean, 0) / rows.length : undefined;
}

const secondsOf = (name) => (data.costs.find((row) => row.contestant === name) || {}).seconds_per_megapixel ?? data.seconds[name];

function updateTradeoff() {
  const metric = metricOf(state.metric);
  const points = metric
    ? models.map((name) => ({ name, seconds: secondsOf(name), quality: qualityOf(metric, name) })).filter((point) => point.seconds > 0 && point.quality !== undefined)
    : [];
  if (!points.length) {
    put("tradeoff");
    return put("tradeoff-note", "No contestant has both a time and figures of all datasets.");
  }
  const logs = padded(points.map((point) => Math.log10(point.seconds)), 0.25);
  const spread = logs[1] - logs[0] < 0.5 ? [logs[0] - 0.5, logs[1] + 0.5] : logs;
  const input = untouched && qualityOf(metric, untouched);
  const range = padded([...points.map((point) => point.quality), ...(input === undefined ? [] : [input])], 0.12);
  const decades = [];
  for (let power = Math.floor(spread[0]); power <= spread[1]; power += 1) for (const factor of [1, 2, 5]) decades.push(power + Math.log10(factor));
  const inside = decades.filter((tick) => tick >= spread[0] && tick <= spread[1]);
  const ticks = inside.length > 7 ? inside.filter((tick) => Number.isInteger(tick)) : inside; // else their numbers would touch
  const x = { title: "seconds a megapixel", range: spread, ticks, text: (tick) => String(Number((10 ** tick).toPrecision(1))) };
  const y = { title: `${metric.name} ${arrow(metric)}`, range, ticks: ticksOf(...range), text: String };
  const { drawing, across, up } = frame(x, y, 340, `${metric.name} against time`);
  if (input !== undefined) {
    drawing.append(draw("line", { class: "diagonal", x1: MARGIN.left, x2: SIDE - MARGIN.right, y1: up(input), y2: up(input) }));
    drawing.append(draw("text", { class: "tick", x: MARGIN.left + 6, y: up(input) - 5 }, `${untouched}`));
  }
  let lowest = -Infinity; // names that would lie upon each other follow one below the other
  for (const point of points.sort((one, other) => up(one.quality) - up(other.quality))) {
    const [left, top] = [across(Math.log10(point.seconds)), up(point.quality)];
    const isRight = left > SIDE * 0.6;
    lowest = Math.max(top + 4, lowest + 14);
    drawing.append(draw("circle", { class: "dot", cx: left, cy: top, r: 6, style: { "--colour": colourOf(point.name) } }));
    drawing.append(draw("text", { class: "name-mark", x: left + (isRight ? -11 : 11), y: lowest, "text-anchor": isRight ? "end" : "start" }, point.name));
  }
  put("tradeoff", drawing);
  const average = Object.keys(data.averages)[0];
  put("tradeoff-note", `Quality (${average ? average.replaceAll("_", " ") : "mean over the datasets"}) against time. Up and left is better${metric.lower_is_better ? " where up is lower" : ""}.`);
}

function updateCosts() {
  const rows = contestants.filter((name) => name !== untouched).map((name) => ({ name, ...data.costs.find((row) => row.contestant === name) }));
  const columns = [
    ["s a megapixel", (row) => inThreeDigits(row.seconds_per_megapixel)],
    ["s a megapixel in this run", (row) => inThreeDigits(data.seconds[row.name])],
    ["peak GB", (row) => shown(row.peak_gigabytes, 2)],
    ["parameters, M", (row) => shown(row.parameters && row.parameters / 1e6, 2)],
    ["GMACs at 256²", (row) => shown(row.gigamacs, 1)],
  ].filter(([, text]) => rows.some((row) => text(row) !== "–"));
  if (!columns.length) {
    put("costs");
    return put("cost-note", "No contestant was timed: finished pictures come without their cost.");
  }
  const lines = rows.map((row) => make("tr", {}, make("th", { scope: "row" }, nameCell(row.name)), ...columns.map(([, text]) => make("td", {}, text(row)))));
  const head = ["", ...columns.map(([title]) => title)].map((title) => make("th", { scope: "col" }, title));
  put("costs", make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines)));
  const places = [...new Set(data.costs.map((row) => `${row.device}, ${plural(row.threads, "thread")}, ${row.megapixels.toFixed(2)} megapixels, ${row.repeats} runs`))];
  const measured = places.length ? `First column: medians after a warm-up, contestants in turn (${places.join("; ")}). ` : "Costs were not measured apart; --cost does that. ";
  put("cost-note", `${measured}“In this run”: the median while the pictures were restored, whatever else the machine did. Peak is what memory grew by above the loaded model.`);
}

function startCharts() {
  const names = contestants.map((name) => [name, name]);
  choices("first", "first", names);
  choices("second", "second", names);
  follow(["metric", "first", "second", "dataset"], updateScatter);
  follow(["metric", "first", "second"], updateVerdicts);
  follow(["metric"], updateTradeoff);
  updateScatter();
  updateVerdicts();
  updateTradeoff();
  updateCosts();
}
