// A place for one photograph: taken from a file, or picked.

import { listenForChoice } from "./local.js";

export class Slot {
  /**
   * @param {HTMLElement} element of the page
   * @param {{take: Function, pick: Function, changed: Function}} on
   */
  constructor(element, { take, pick, changed }) {
    this.element = element;
    this.name = element.querySelector("h3").textContent;
    this.content = null;
    this.changed = changed;
    this.shown = element.querySelector("img");
    this.nothing = this.shown.alt;
    listenForChoice(element.querySelector("input"), (chosen) => {
      take(chosen, this);
    });
    this.picks = element.querySelector(".pick");
    this.picks.addEventListener("click", () => pick(this));
    this.removes = element.querySelector(".remove");
    this.removes.addEventListener("click", () => this.fill(null));
  }

  /** @param {{url: string, name: string} | null} picture as a PNG data URL */
  fill(picture) {
    this.content = picture && {
      file: picture.url.slice(picture.url.indexOf(",") + 1),
      name: picture.name,
    };
    this.shown.hidden = !picture;
    this.shown.alt = picture ? `${this.name}: ${picture.name}` : this.nothing;
    if (picture) this.shown.src = picture.url;
    else this.shown.removeAttribute("src");
    this.element.querySelector(".frame p").hidden = Boolean(picture);
    this.removes.disabled = !picture;
    this.changed(this);
  }
}
