// Single keys for what is done often, and the list of them. They can be turned off, for who speaks to the computer.

import { byId } from "./dom.js";

const OFF = "slackwater-shortcuts-off";

/** `actions` is key -> what it does; the list of them stands in the page. */
export function addShortcuts(actions) {
  const dialog = byId("help");
  const on = byId("shortcuts-on");
  on.checked = localStorage.getItem(OFF) === null;
  on.addEventListener("change", () => {
    if (on.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "");
  });
  byId("help-open").addEventListener("click", () => dialog.showModal());
  byId("help-close").addEventListener("click", () => dialog.close());
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest?.("input:not([type=radio], [type=checkbox]), dialog");
    if (writing || !on.checked || event.ctrlKey || event.metaKey || event.altKey) return;
    const does = event.key === "?" ? () => dialog.showModal() : actions[event.key];
    if (does === undefined) return;
    event.preventDefault();
    does();
  });
}
