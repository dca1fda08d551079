// What is wrong with the picture, a bar each; those that the model can be told of are sliders. Text is set as text only.
const root = element.querySelector(".ld-bars");
const words = (name) => name.replaceAll("_", " ");
let shown = null;
let isOpen = false;

function told() {
  const value = props.value || {};
  return { ...(value.told || {}) };
}

function put(next) {
  props.value = { ...(props.value || {}), told: next };
  draw();
}

function part(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function rowOf(row, now) {
  const isTold = row.name in now;
  const share = isTold ? now[row.name] : row.seen;
  const line = part("div", "ld-bar" + (isTold ? " ld-told" : ""));
  line.style.setProperty("--share", `${100 * share}%`);
  line.append(part("span", "ld-bar-name", words(row.name)));
  const number = part("span", "ld-bar-number", `${Math.round(100 * share)} %`);
  line.append(number);
  if (!row.canBeTold) {
    const meter = part("div", "ld-meter");
    meter.setAttribute("role", "meter");
    meter.setAttribute("aria-label", words(row.name));
    meter.setAttribute("aria-valuemin", "0");
    meter.setAttribute("aria-valuemax", "100");
    meter.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    line.append(meter);
    return line;
  }
  const slider = part("input", "ld-slider");
  slider.type = "range";
  slider.min = "0";
  slider.max = "100";
  slider.step = "1";
  slider.value = String(Math.round(100 * share));
  slider.setAttribute("aria-label", `How strong is ${words(row.name)}`);
  slider.dataset.name = row.name;
  slider.addEventListener("input", () => {
    const value = Number(slider.value) / 100;
    line.classList.add("ld-told");
    line.style.setProperty("--share", `${100 * value}%`);
    number.textContent = `${slider.value} %`;
  });
  slider.addEventListener("change", () => put({ ...told(), [row.name]: Number(slider.value) / 100 }));
  line.append(slider);
  if (isTold) {
    const back = part("button", "ld-back", "as seen");
    back.type = "button";
    back.setAttribute("aria-label", `${words(row.name)}: back to what the model sees`);
    back.addEventListener("click", () => {
      const next = told();
      delete next[row.name];
      put(next);
    });
    line.append(back);
  }
  return line;
}

function draw() {
  const value = props.value || {};
  const rows = value.rows || [];
  const now = told();
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  root.replaceChildren();
  if (value.note) root.append(part("p", "ld-note", value.note));
  const top = rows.filter((row, index) => isOpen || index < 5 || row.name in now);
  for (const row of top) root.append(rowOf(row, now));
  if (rows.length > 5) {
    const more = part("button", "ld-more", isOpen ? "Show fewer" : `Show all ${rows.length}`);
    more.type = "button";
    more.setAttribute("aria-expanded", String(isOpen));
    more.addEventListener("click", () => {
      isOpen = !isOpen;
      draw();
      root.querySelector(".ld-more").focus();
    });
    root.append(more);
  }
  if (focused) root.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
}

watch("value", draw);
draw();
