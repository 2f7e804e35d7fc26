// Take a photograph, ask, show: the page of photographs.

import { Refusal, get, stream } from "./server.js";
import { Slot } from "./slot.js";
import { archive } from "./zip.js";
import { clearTrouble, trouble } from "./trouble.js";
import { decode, files, picture, show } from "./sheets.js";
import { listenForDrops, save, shrink } from "./local.js";

const COLUMNS = 4;
const WIDE = 96; // pixels from which fewer samples stand beside each other

const element = (id) => document.getElementById(id);
const number = (id) => Number(element(id).value);
const say = (words) => {
  element("status").textContent = words;
};

let card;
let image;
let other;
let own = null; // size of the photograph as the model sees it
let sized = false; // whether another size is asked for
let sheet = null;
let running = null;
let picking = null;
let landscapes = 0; // seed of those to pick from

/** Draw from the photographs and show what comes. */
async function run() {
  if (!image.content) return;
  running?.abort();
  const controller = (running = new AbortController());
  const request = {
    image: image.content,
    other: other.content,
    strength: number("strength") / 100,
    samples: number("samples"),
    width: sized ? number("width") : 0,
    height: sized ? number("height") : 0,
    random_from: number("layout"),
    seed: Math.max(0, Math.floor(number("seed")) || 0),
  };
  clearTrouble();
  document.body.dataset.state = "running";
  say("Drawing …");
  const start = performance.now();
  try {
    for await (const event of stream("/api/photograph", request, controller.signal)) {
      await receive(event);
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const size = `${sheet.width} × ${sheet.height} pixels`;
    say(`${sheet.count} images of ${size} in ${seconds} s.`);
    document.body.dataset.state = "done";
    document.body.dataset.runs = Number(document.body.dataset.runs ?? 0) + 1;
  } catch (error) {
    if (controller.signal.aborted) return;
    document.body.dataset.state = "failed";
    say("Not finished.");
    trouble(error);
  } finally {
    if (running === controller) running = null;
  }
}

async function receive(event) {
  if (event.event === "given") {
    reveal("given", event.images[0], "The photograph as the model sees it");
    own = { width: event.width, height: event.height };
    if (!sized) setSize(own);
  } else if (event.event === "rebuilt") {
    reveal("rebuilt", event.image, "The photograph, rebuilt from its GAN");
  } else if (event.event === "samples") {
    sheet = await decode(event);
    const canvas = element("drawn").querySelector("canvas");
    show(canvas, sheet, sheet.width > WIDE ? COLUMNS / 2 : COLUMNS);
    canvas.setAttribute(
      "aria-label",
      `Drawn: ${sheet.count} images, ${sheet.width} by ${sheet.height} pixels`,
    );
    for (const name of ["png", "zip", "size"]) element(name).disabled = false;
  }
}

function reveal(name, url, words) {
  const shown = element(name).querySelector("img");
  shown.src = url;
  shown.alt = words;
  shown.hidden = false;
}

function setSize(size) {
  for (const side of ["width", "height"]) {
    element(side).value = size[side];
    tell(side);
  }
}

/** Say what a slider is at. */
function tell(name) {
  const value = number(name);
  const words = {
    width: `${value} pixels`,
    height: `${value} pixels`,
    samples: `${value}`,
    strength: other.content
      ? `${value} % of the second`
      : "needs a second photograph",
    layout: value ? `kept up to scale ${value} of ${card.scales}` : "free",
  }[name];
  element(`${name}-value`).textContent = words;
  element(name).setAttribute("aria-valuetext", words);
}

function changed(slot) {
  element("strength").disabled = !other.content;
  tell("strength");
  if (slot === image) sized = false;
  if (image.content) {
    run();
    return;
  }
  running?.abort();
  document.body.dataset.state = "ready";
  say(
    other.content
      ? "The first photograph is missing."
      : "There is no photograph.",
  );
}

/** Fill the place where files were chosen or dropped; a second goes on. */
async function take(chosen, slot) {
  clearTrouble();
  const places = slot === other ? [other] : [image, other];
  try {
    for (const [i, place] of places.entries()) {
      if (i < chosen.length) place.fill(await shrink(chosen[i]));
    }
    if (chosen.length > places.length) {
      throw new Refusal(
        `There ${places.length === 1 ? "is one place" : "are two places"}; ` +
          `of ${chosen.length} pictures the first were taken.`,
      );
    }
  } catch (error) {
    trouble(error);
  }
}

/** Open the landscapes for a place, or close them. */
function pick(slot) {
  const open = picking !== slot;
  picking = open ? slot : null;
  element("picker").hidden = !open;
  element("picker-title").textContent = `Drawn landscapes: ${slot.name}`;
  for (const each of [image, other]) {
    each.picks.setAttribute("aria-expanded", picking === each);
  }
  if (open && !element("landscapes").children.length) load();
}

/** Show the landscapes of the present seed, however late an earlier answer. */
async function load() {
  const seed = landscapes;
  let items = [];
  try {
    const { images } = await get(`/api/landscapes/${seed}`);
    items = images.map((url, i) => item(url, seed * images.length + i + 1));
  } catch (error) {
    if (seed === landscapes) trouble(error);
  }
  if (seed === landscapes) element("landscapes").replaceChildren(...items);
}

function item(url, place) {
  const name = `landscape ${place}`;
  const entry = document.createElement("li");
  const button = document.createElement("button");
  const shown = document.createElement("img");
  button.type = "button";
  shown.src = url;
  shown.alt = name;
  button.append(shown);
  button.addEventListener("click", () => picking?.fill({ url, name }));
  entry.append(button);
  return entry;
}

function listenForSettings() {
  for (const name of ["width", "height", "strength", "layout", "samples"]) {
    const input = element(name);
    input.addEventListener("input", () => tell(name));
    input.addEventListener("change", () => {
      if (name === "width" || name === "height") sized = true;
      run();
    });
    tell(name);
  }
  element("seed").addEventListener("change", run);
  element("reseed").addEventListener("click", () => {
    element("seed").value = 1 + Math.floor(Math.random() * 9999);
    run();
  });
  element("size").addEventListener("click", () => {
    sized = false;
    setSize(own);
    run();
  });
  element("others").addEventListener("click", () => {
    landscapes += 1;
    load();
  });
}

function listenForSaving() {
  element("png").addEventListener("click", async () => {
    const bytes = await picture(sheet, 1);
    save(new Blob([bytes], { type: "image/png" }), "images.png");
  });
  element("zip").addEventListener("click", async () => {
    save(archive(await files(sheet, "image")), "images.zip");
  });
}

function describe() {
  const colour = card.channels === 1 ? "grey" : "colour";
  element("card").textContent =
    `${card.name} · ${card.about} · ${card.width} pixels wide, ${colour}`;
  const { limits } = card;
  for (const side of ["width", "height"]) {
    element(side).min = limits.least_side;
    element(side).max = limits.side;
    element(side).value = card.width;
  }
  element("layout").max = card.scales - 1;
  const samples = element("samples");
  const step = Math.min(Number(samples.step), limits.samples);
  samples.min = samples.step = step;
  samples.max = limits.samples - (limits.samples % step);
  samples.value = card.samples;
}

async function begin() {
  element("dismiss").addEventListener("click", clearTrouble);
  try {
    card = await get("/api/model");
  } catch (error) {
    trouble(error);
    return;
  }
  describe();
  image = new Slot(element("image"), { take, pick, changed });
  other = new Slot(element("other"), { take, pick, changed });
  listenForSettings();
  listenForDrops((chosen, place) => {
    take(chosen, other.element.contains(place) ? other : image);
  });
  listenForSaving();
  document.body.dataset.state = "ready";
}

begin();
