// Rows of data sets, to pick one instead of drawing.

import { get } from "./server.js";

const element = (id) => document.getElementById(id);

export class Picker {
  /**
   * @param {string[]} names of the data sets
   * @param {boolean} ink whether images are strokes
   * @param {(row: {name: string, images: string[]}) => void} picked
   * @param {(error: Error) => void} failed
   */
  constructor(names, ink, picked, failed) {
    this.ink = ink;
    this.picked = picked;
    this.failed = failed;
    this.seed = 0;
    const select = element("dataset");
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    select.addEventListener("change", () => this.load());
    element("others").addEventListener("click", () => {
      this.seed += 1;
      this.load();
    });
    const button = element("pick");
    button.hidden = !names.length;
    button.addEventListener("click", () => {
      const open = element("picker").hidden;
      element("picker").hidden = !open;
      button.setAttribute("aria-expanded", open);
      if (open && !element("rows").children.length) this.load();
    });
  }

  async load() {
    const list = element("rows");
    const wait = document.createElement("li");
    wait.textContent = "Loading …";
    list.replaceChildren(wait);
    const shown = () => list.firstChild === wait; // no later click since
    try {
      const dataset = encodeURIComponent(element("dataset").value);
      const { rows } = await get(`/api/rows/${dataset}/${this.seed}`);
      if (shown()) list.replaceChildren(...rows.map((row) => this.#item(row)));
    } catch (error) {
      if (!shown()) return;
      list.replaceChildren();
      this.failed(error);
    }
  }

  #item(row) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const images = document.createElement("span");
    for (const url of row.images) {
      const image = document.createElement("img");
      image.src = url;
      image.alt = "";
      image.classList.toggle("ink", this.ink);
      images.append(image);
    }
    button.append(images, row.name);
    button.addEventListener("click", () => this.picked(row));
    item.append(button);
    return item;
  }
}
