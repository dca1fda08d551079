// The picture, and a brush that marks what must stay. The mask goes to the server as a PNG, white on black.
const root = element.querySelector(".ld-painter");
const stage = root.querySelector(".ld-stage");
const picture = root.querySelector("img");
const canvas = root.querySelector("canvas");
const size = root.querySelector("input[type=range]");
const tools = [...root.querySelectorAll("button[data-tool]")];
const undo = root.querySelector("button[data-act=undo]");
const clear = root.querySelector("button[data-act=clear]");
const pen = canvas.getContext("2d");
const MARK = "rgb(20 184 166)";
let strokes = [];
let stroke = null;
let tool = "paint";
let address = null;

function line(target, one, colour) {
  target.globalCompositeOperation = one.tool === "erase" ? "destination-out" : "source-over";
  target.strokeStyle = target.fillStyle = colour;
  target.lineCap = target.lineJoin = "round";
  target.lineWidth = one.width;
  target.beginPath();
  const [first, ...rest] = one.points;
  if (!rest.length) {
    target.arc(first[0], first[1], one.width / 2, 0, 2 * Math.PI);
    target.fill();
    return;
  }
  target.moveTo(first[0], first[1]);
  for (const [x, y] of rest) target.lineTo(x, y);
  target.stroke();
}

function draw() {
  pen.globalCompositeOperation = "source-over";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const one of stroke ? [...strokes, stroke] : strokes) line(pen, one, MARK);
  undo.disabled = clear.disabled = !strokes.length;
}

function masked() {
  if (!strokes.some((one) => one.tool === "paint")) return "";
  const white = document.createElement("canvas");
  [white.width, white.height] = [canvas.width, canvas.height];
  for (const one of strokes) line(white.getContext("2d"), one, "white");
  const mask = document.createElement("canvas");
  [mask.width, mask.height] = [canvas.width, canvas.height];
  const target = mask.getContext("2d");
  target.fillStyle = "black";
  target.fillRect(0, 0, mask.width, mask.height);
  target.drawImage(white, 0, 0);
  return mask.toDataURL("image/png");
}

function put() {
  draw();
  props.value = { ...(props.value || {}), mask: masked() };
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || !canvas.width) return;
  canvas.setPointerCapture(event.pointerId);
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  stroke = { tool, width: Number(size.value) * scale, points: [place(event)] };
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  stroke.points.push(place(event));
  draw();
});
const finish = () => {
  if (!stroke) return;
  strokes.push(stroke);
  stroke = null;
  put();
};
canvas.addEventListener("pointerup", finish);
canvas.addEventListener("pointercancel", finish);
for (const button of tools) {
  button.addEventListener("click", () => {
    tool = button.dataset.tool;
    for (const other of tools) other.setAttribute("aria-pressed", String(other === button));
  });
}
undo.addEventListener("click", () => {
  strokes.pop();
  put();
});
clear.addEventListener("click", () => {
  strokes = [];
  put();
});
picture.addEventListener("load", () => {
  [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  draw();
});

function show() {
  const value = props.value || {};
  const next = value.preview || null;
  if (next === address) return;
  address = next;
  strokes = [];
  stroke = null;
  root.classList.toggle("ld-empty", !next);
  if (next) {
    picture.src = `gradio_api/file=${next.split("/").map(encodeURIComponent).join("/")}`;
    picture.alt = value.name ? `Your picture, ${value.name}` : "Your picture";
  } else {
    picture.removeAttribute("src");
    canvas.width = canvas.height = 0;
  }
  draw();
}

watch("value", show);
show();
