// The few words for writing into the page. Texts go in as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** Write text, without touching the page where it stands already. */
export function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

/** A new element with a text, a class and children. */
export function element(tag, text = "", name = "", ...children) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  made.append(...children);
  return made;
}

/** Put lines into a list, only where they differ from what `shown` says stands there. */
export function fill(id, shown, lines) {
  const list = byId(id);
  const text = JSON.stringify(shown);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(...lines());
}
