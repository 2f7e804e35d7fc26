// A walk through the latents: a strip of moments, and one of them large.

import { decode, showStrip } from "./sheets.js";
import { stream } from "./server.js";

const FRAMES = 48;
const MOMENTS = 12; // of the strip
const PAUSE = 90; // milliseconds

const element = (id) => document.getElementById(id);

export class Walk {
  constructor() {
    this.sheet = null;
    this.timer = null;
    this.place = element("place");
    this.button = element("play");
    this.place.addEventListener("input", () => {
      this.stop();
      this.#show();
    });
    this.button.addEventListener("click", () => {
      if (this.timer) this.stop();
      else this.#play();
    });
  }

  /** Fetch the walk of a request; plays unless people want little motion. */
  async load(request, signal) {
    this.stop();
    for await (const event of stream("/api/walk", request, signal)) {
      if (event.event === "walk") this.sheet = await decode(event);
    }
    const { count } = this.sheet;
    const moments = Array.from({ length: MOMENTS }, (_, i) =>
      Math.floor((i * count) / MOMENTS),
    );
    const strip = element("walk-strip");
    showStrip(strip, this.sheet, moments);
    strip.setAttribute("aria-label", `${MOMENTS} moments of the walk`);
    this.place.max = count - 1;
    this.place.disabled = this.button.disabled = false;
    this.#show();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.#play();
  }

  static get frames() {
    return FRAMES;
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "Walk";
  }

  #play() {
    this.button.textContent = "Stand still";
    this.timer = setInterval(() => {
      const next = (Number(this.place.value) + 1) % this.sheet.count;
      this.place.value = next;
      this.#show();
    }, PAUSE);
  }

  #show() {
    const index = Number(this.place.value);
    const now = element("walk-now");
    showStrip(now, this.sheet, [index]);
    const words = `${index + 1} of ${this.sheet.count}`;
    now.setAttribute("aria-label", `The walk at ${words}`);
    element("place-value").textContent = words;
  }
}
