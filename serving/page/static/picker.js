// The instrument picker: a combobox that filters as one types (the ARIA pattern "editable combobox with a list").

import { byId, element } from "./dom.js";

const SHOWN = 60;

export class Picker {
  /**
   * `onPick` gets { venue, symbol }. `search(words, count)` promises the first instruments that fit, in the service: it
   * is asked where `show` did not give all there are.
   */
  constructor(onPick, search) {
    this._input = byId("instrument");
    this._list = byId("instruments");
    this._onPick = onPick;
    this._search = search;
    this._searches = 0;
    this._whole = true;
    this._all = [];
    this._found = [];
    this._at = -1;
    this._picked = null;
    this._from = null;
    this._input.addEventListener("focus", ({ relatedTarget }) => {
      this._from = relatedTarget;
      this._input.select();
    });
    this._input.addEventListener("click", () => this._open(""));
    this._input.addEventListener("input", () => this._open(this._input.value));
    this._input.addEventListener("keydown", (event) => this._key(event));
    this._input.addEventListener("blur", () => this._close());
    this._list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the focus stays in the field
      const option = event.target.closest("[data-index]");
      if (option) this._pick(Number(option.dataset.index));
    });
  }

  /** What there is: [{ venue, symbol, unit }], which of it is shown, and whether that is all there is. */
  show(instruments, picked, whole) {
    this._all = instruments;
    this._whole = whole;
    this._picked = picked;
    this._input.disabled = instruments.length === 0 && picked === null;
    if (document.activeElement !== this._input) this._rest();
  }

  focus() {
    this._input.focus();
    this._open("");
  }

  _rest() {
    this._input.value = this._picked === null ? "" : `${this._picked.symbol} · ${this._picked.venue}`;
    this._input.parentElement.dataset.name = this._input.value; // the style sheet makes the field as wide as this
    this._input.title = this._input.value;
  }

  _open(text) {
    const words = text.toLowerCase().split(/[\s·]+/).filter(Boolean);
    const fits = ({ venue, symbol }) => words.every((word) => `${symbol} ${venue}`.toLowerCase().includes(word));
    this._offer(text, this._all.filter(fits));
    this._searches += 1;
    if (!this._whole) void this._ask(text, words.join(" "), this._searches);
  }

  /** Offer what the service finds, unless something else was typed or picked meanwhile. */
  async _ask(text, words, search) {
    const found = await this._search(words, SHOWN + 1).catch((error) => error);
    if (search !== this._searches || this._list.hidden) return;
    if (found instanceof Error) this._list.append(element("li", `Not all was searched: ${found.message}`, "none"));
    else this._offer(text, found);
  }

  _offer(text, found) {
    this._found = found;
    const current = this._found.findIndex((each) => this._isPicked(each));
    this._at = Math.min(text === "" ? current : 0, this._found.length - 1);
    const lines = this._found.slice(0, SHOWN).map((each, index) => {
      const line = element("li", "", "", element("b", each.symbol), element("span", each.venue));
      if (each.unit && each.unit !== "base") line.append(element("em", each.unit));
      Object.assign(line, { id: `instrument-${index}`, role: "option" });
      line.dataset.index = index;
      return line;
    });
    if (lines.length === 0) lines.push(element("li", "Nothing fits", "none"));
    const more = this._found.length - SHOWN;
    if (more > 0) lines.push(element("li", `and ${this._whole ? `${more} ` : ""}more: type to find them`, "none"));
    this._list.replaceChildren(...lines);
    this._list.hidden = false;
    this._input.setAttribute("aria-expanded", "true");
    this._mark();
  }

  _close() {
    this._list.hidden = true;
    this._input.setAttribute("aria-expanded", "false");
    this._input.removeAttribute("aria-activedescendant");
    this._rest();
  }

  _mark() {
    for (const option of this._list.querySelectorAll("[data-index]")) {
      const marked = Number(option.dataset.index) === this._at;
      option.setAttribute("aria-selected", marked);
      if (marked) option.scrollIntoView({ block: "nearest" });
    }
    if (this._at >= 0) this._input.setAttribute("aria-activedescendant", `instrument-${this._at}`);
    else this._input.removeAttribute("aria-activedescendant");
  }

  _key(event) {
    const count = Math.min(SHOWN, this._found.length);
    const step = (by) => {
      if (this._list.hidden) this._open("");
      else if (count > 0) this._at = (this._at + by + count) % count;
      this._mark();
    };
    const does = {
      ArrowDown: () => step(1),
      ArrowUp: () => step(this._at < 0 ? 0 : -1),
      Enter: () => !this._list.hidden && this._pick(this._at),
      Escape: () => this._leave(),
    }[event.key];
    if (does === undefined) return;
    event.preventDefault();
    does();
  }

  _pick(index) {
    const found = this._found[index];
    if (found === undefined) return;
    this._picked = { venue: found.venue, symbol: found.symbol };
    this._leave();
    this._onPick(this._picked);
  }

  /** Give the focus back to where it came from: what is typed from now on is no search, single keys work again. */
  _leave() {
    this._close();
    if (this._from?.isConnected) this._from.focus();
    else this._input.blur();
  }

  _isPicked({ venue, symbol }) {
    return this._picked?.venue === venue && this._picked?.symbol === symbol;
  }
}
