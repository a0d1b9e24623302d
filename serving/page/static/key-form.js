// The field for the key, shown while the service asks for one. The key stays in this tab (`api.js`), nowhere else.

import { key, setKey } from "./api.js";
import { byId, say } from "./dom.js";

/** `onKey` is called when the reader gave another key, or took it back. */
export function addKeyForm(onKey) {
  byId("key-form").addEventListener("submit", (event) => {
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
export function showKeyForm(asked) {
  const form = byId("key-form");
  say("key-reason", key() ? "This key is not accepted. Is it whole, and not revoked?" : "This service asks for a key.");
  byId("forget").hidden = key() === "" || asked;
  if (form.hidden === !asked) return;
  form.hidden = !asked;
  if (asked) byId("key").focus();
}
