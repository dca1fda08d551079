// Light or dark, as the system has it until the visitor says otherwise.
const button = element.querySelector(".ld-theme");
const isDark = () => document.body.classList.contains("dark");
const show = () => {
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-pressed", String(isDark()));
  button.setAttribute("aria-label", `Use ${isDark() ? "light" : "dark"} colours`);
};
button.addEventListener("click", () => {
  document.body.classList.toggle("dark");
  show();
});
new MutationObserver(show).observe(document.body, { attributes: true, attributeFilter: ["class"] });
show();
