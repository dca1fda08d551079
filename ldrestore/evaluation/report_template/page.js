// The page as a whole.
const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
const PARTS = { figures: "Figures", pictures: "Pictures", against: "One against another", cost: "Time", printed: "As printed", record: "Record" };

function updateTheme() {
  document.documentElement.dataset.theme = state.theme;
  byId("theme").textContent = THEMES[state.theme];
}

function scrollToPart() {
  if (state.section) byId(state.section).scrollIntoView();
}

function startHead() {
  byId("suite").textContent = data.suite;
  byId("summary").textContent = data.summary;
  byId("protocol-line").textContent = data.protocol.line;
  byId("colophon").textContent = `Made by ldrestore ${data.version} from results.json, in which every figure stands with all its digits.`;
  const facts = [[contestants.length, "contestants"], [datasets.length, "datasets"], [data.pictures.length, "pictures"], [metrics.length, "metrics"]];
  if (data.failures.length) facts.push([data.failures.length, "failed"]);
  put("facts", ...facts.map(([value, title]) => make("div", {}, make("dt", {}, title), make("dd", {}, String(value)))));
  const parts = Object.entries(PARTS).filter(([id]) => (id !== "printed" || data.published.length) && !byId(id).hidden);
  put("tabs", ...parts.map(([id, title]) => make("a", { href: `#section=${id}`, "data-part": id, onclick: goTo(id) }, title)));
}

// Links to parts keep the rest of what the reader chose.
function goTo(id) {
  return (event) => {
    event.preventDefault();
    choose({ section: id });
    byId(id).scrollIntoView();
  };
}

function copyLink() {
  writeAddress();
  const isDone = () => {
    byId("copy-link").textContent = "Copied";
    setTimeout(() => (byId("copy-link").textContent = "Copy link"), 1500);
  };
  if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(isDone, () => prompt("The link:", location.href));
  else prompt("The link:", location.href);
}

startRecord();
startHead();
startFigures();
startGallery();
startViewer();
startCharts();
for (const id of ["pictures", "against"]) byId(id).hidden = !data.pictures.length;
byId("cost").hidden = !models.length;
follow(["theme"], updateTheme);
updateTheme();
byId("theme").addEventListener("click", () => choose({ theme: { auto: "light", light: "dark", dark: "auto" }[state.theme] }));
byId("copy-link").addEventListener("click", copyLink);
document.querySelector(".skip").addEventListener("click", goTo("pictures"));
addEventListener("hashchange", scrollToPart);
document.documentElement.dataset.ready = "true";
scrollToPart();
