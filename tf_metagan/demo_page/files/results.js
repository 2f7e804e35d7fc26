// What was drawn: panels, the moment that they show, losses, nearest drawings.

import { COLUMNS, show } from "./sheets.js";

const SVG = "http://www.w3.org/2000/svg";
const NAMES = {
  prior: "Prior",
  adapted: "Adapted",
  scratch: "From scratch",
};

const element = (id) => document.getElementById(id);

export class Results {
  /** @param {(drawing: number | null) => void} mark marks a drawing */
  constructor(mark) {
    this.mark = mark;
    this.reset();
    this.moment = element("moment");
    this.moment.addEventListener("input", () => this.#show());
    this.cells = element("cells");
    this.cells.addEventListener("pointermove", (event) => {
      const place = [...this.cells.children].indexOf(event.target);
      if (place >= 0) this.select(place);
    });
    this.cells.addEventListener("pointerleave", () => this.select(null));
    this.cells.addEventListener("blur", () => this.select(null));
    this.cells.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Forget everything; panels keep their pictures until new ones come. */
  reset() {
    this.frames = { adapted: [], scratch: [] };
    this.near = null;
    this.apart = null;
    this.selected = null;
  }

  /** Take a moment of an adaptation. */
  add(of, frame) {
    const following = Number(this.moment.value) >= this.frames.adapted.length - 1;
    this.frames[of].push(frame);
    if (of === "adapted") {
      this.moment.disabled = false;
      this.moment.max = this.frames.adapted.length - 1;
      if (following) this.moment.value = this.moment.max;
    }
    this.#show();
  }

  prior(sheet) {
    this.#panel("prior", sheet, "before adaptation");
  }

  nearest(near, apart) {
    this.near = near;
    this.apart = apart;
  }

  /** The adapted frame that is shown. */
  get frame() {
    return this.frames.adapted[Number(this.moment.value)] ?? null;
  }

  /** The last adapted frame. */
  get last() {
    return this.frames.adapted.at(-1) ?? null;
  }

  #show() {
    const frame = this.frame;
    if (!frame) return;
    const words = `step ${frame.step}${frame.chosen ? ", the best tries" : ""}`;
    element("moment-value").textContent = words;
    this.moment.setAttribute("aria-valuetext", words);
    this.#panel("adapted", frame.sheet, words);
    this.#fillCells(frame.sheet.count);
    const scratch = this.frames.scratch.findLast((f) => f.step <= frame.step);
    if (scratch) this.#panel("scratch", scratch.sheet, `step ${scratch.step}`);
    this.#losses(frame.step);
    this.select(this.selected);
  }

  #panel(name, sheet, words) {
    const canvas = element(name).querySelector("canvas");
    show(canvas, sheet);
    const label = `${NAMES[name]}: ${sheet.count} samples, ${words}`;
    canvas.setAttribute("aria-label", label);
    canvas.dataset.step = words;
  }

  #fillCells(count) {
    if (this.cells.children.length === count) return;
    this.cells.setAttribute("role", "listbox");
    this.cells.setAttribute("aria-label", "Siblings");
    this.cells.tabIndex = 0;
    this.cells.replaceChildren(
      ...Array.from({ length: count }, (_, place) => {
        const cell = document.createElement("div");
        cell.id = `cell-${place}`;
        cell.setAttribute("role", "option");
        cell.setAttribute("aria-label", `Sibling ${place + 1}`);
        return cell;
      }),
    );
  }

  /** Say which drawing a sibling is nearest to; null: no sibling. */
  select(place) {
    this.selected = place;
    for (const [i, cell] of [...this.cells.children].entries()) {
      cell.setAttribute("aria-selected", i === place);
    }
    if (place === null) this.cells.removeAttribute("aria-activedescendant");
    else this.cells.setAttribute("aria-activedescendant", `cell-${place}`);
    const known = place !== null && this.near && this.frame === this.last;
    this.mark(known ? this.near.image[place] : null);
    if (known) element("near").textContent = this.#sentence(place);
    else if (place !== null && this.near) {
      element("near").textContent =
        "Move to the last moment to compare siblings with your drawings.";
    }
  }

  #sentence(place) {
    const distance = this.near.distance[place];
    const number = this.near.image[place] + 1;
    const start =
      `Sibling ${place + 1} is nearest to drawing ${number}: ` +
      `they differ by ${distance.toFixed(2)}`;
    if (this.apart === null) return `${start}, of at most 2.`;
    const least = this.apart.toFixed(2);
    return distance < 0.5 * this.apart
      ? `${start}, much less than your drawings among each other ` +
          `(${least}): it may be a copy.`
      : `${start}. Your two most similar drawings differ by ${least}.`;
  }

  #key(event) {
    const moves = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -COLUMNS,
      ArrowDown: COLUMNS,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const count = this.cells.children.length;
    const next =
      this.selected === null ? 0 : this.selected + moves[event.key];
    this.select(Math.min(count - 1, Math.max(0, next)));
  }

  #losses(now) {
    const rows = {};
    for (const of of ["adapted", "scratch"]) {
      rows[of] = this.frames[of].filter((f) => f.losses && !f.chosen);
    }
    const all = [...rows.adapted, ...rows.scratch];
    if (!all.length) {
      element("losses").replaceChildren();
      element("losses-text").textContent =
        "No step was taken, so there are no losses.";
      return;
    }
    element("losses").replaceChildren(chart(rows, all, now));
    const last = rows.adapted.at(-1)?.losses;
    element("losses-text").textContent =
      "Discriminator and generator on your drawings, each before its move; " +
      "dotted: from scratch." +
      (last
        ? ` In the last step ${last.d.toFixed(2)} and ${last.g.toFixed(2)}.`
        : "");
  }
}

/** Draw the losses over the steps. */
function chart(rows, all, now) {
  const [width, height, left, right, low] = [520, 250, 38, 104, 26];
  const values = all.flatMap((f) => [f.losses.d, f.losses.g]);
  const bottom = Math.min(0, ...values);
  const top = Math.max(...values, bottom + 1e-3);
  const last = Math.max(...all.map((f) => f.step), 1);
  const x = (step) =>
    left + ((step - 1) / Math.max(1, last - 1)) * (width - left - right);
  const y = (value) =>
    10 + ((top - value) / (top - bottom)) * (height - low - 10);
  const svg = make("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Losses over ${last} steps, from ${bottom.toFixed(1)} to ` +
      top.toFixed(1),
  });
  for (const value of [bottom, (bottom + top) / 2, top]) {
    svg.append(
      make("line", { x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      text(left - 8, y(value) + 4, "end", value.toFixed(1)),
    );
  }
  svg.append(
    text(left, height - 4, "start", "step 1"),
    text(x(last), height - 4, "end", last > 1 ? `step ${last}` : ""),
  );
  if (now >= 1) {
    svg.append(
      make("line", { class: "now", x1: x(now), x2: x(now), y1: 10, y2: y(bottom) }),
    );
  }
  const ends = [];
  for (const [of, frames] of Object.entries(rows)) {
    if (!frames.length) continue;
    for (const player of ["d", "g"]) {
      const points = frames.map((f) => `${x(f.step)} ${y(f.losses[player])}`);
      // A single step is a dot.
      const way = points.length > 1 ? points : [points[0], points[0]];
      const d = `M${way.join("L")}`;
      svg.append(make("path", { class: `${player} ${of}`, d }));
      if (of === "adapted") {
        ends.push({ player, at: y(frames.at(-1).losses[player]) });
      }
    }
  }
  ends.sort((a, b) => a.at - b.at);
  if (ends.length === 2 && ends[1].at - ends[0].at < 16) {
    const middle = (ends[0].at + ends[1].at) / 2;
    [ends[0].at, ends[1].at] = [middle - 8, middle + 8];
  }
  const words = { d: "discriminator", g: "generator" };
  for (const { player, at } of ends) {
    const label = text(width - right + 8, at + 4, "start", words[player]);
    label.setAttribute("class", player);
    svg.append(label);
  }
  return svg;
}

function make(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  return made;
}

function text(x, y, anchor, words) {
  const made = make("text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}
