// Dark or light: the system's, or the other one where the reader asks for it. See `first-paint.js`.

import { byId } from "./dom.js";

const KEPT = "slackwater-theme";
const root = document.documentElement;
const light = matchMedia("(prefers-color-scheme: light)");
const system = () => (light.matches ? "light" : "dark");

/** Change to the other one. Who chooses what the system asks for follows the system again. */
export function toggleTheme() {
  const wanted = root.dataset.theme === "dark" ? "light" : "dark";
  if (wanted === system()) localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, wanted);
  take(wanted);
}

/** Follow the system, and make the button work. */
export function addTheme() {
  light.addEventListener("change", () => take(localStorage.getItem(KEPT) ?? system()));
  byId("theme").addEventListener("click", toggleTheme);
  take(root.dataset.theme);
}

function take(theme) {
  root.dataset.theme = theme;
  byId("theme").setAttribute("aria-pressed", theme === "light");
}
