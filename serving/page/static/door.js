// The field for the key, shown while the service asks for one. The key stays in this tab (`api.js`), nowhere else.

import { key, setKey } from "./api.js";
import { byId, say } from "./dom.js";

/** `onKey` is called when the reader gave another key, or took it back. */
export function addDoor(onKey) {
  byId("door").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(byId("key").value.trim());
    byId("key").value = "";
    onKey();
  });
  byId("forget").addEventListener("click", () => {
    setKey("");
    onKey();
  });
}

/** Ask for a key, or ask no more. */
export function showDoor(asked) {
  const door = byId("door");
  say("door-reason", key() ? "This key is not accepted. Is it whole, and not revoked?" : "This service asks for a key.");
  byId("forget").hidden = key() === "" || asked;
  if (door.hidden === !asked) return;
  door.hidden = !asked;
  if (asked) byId("key").focus();
}
