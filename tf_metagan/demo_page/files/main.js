// Draw, ask, show: the page itself.

import { Pad } from "./pad.js";
import { Picker } from "./picker.js";
import { Refusal, get, stream } from "./server.js";
import { Results } from "./results.js";
import { Walk } from "./walk.js";
import { archive } from "./zip.js";
import { decode, files, picture } from "./sheets.js";
import { clearTrouble, trouble } from "./trouble.js";
import { listenForChoice, listenForDrops, save, shrink } from "./local.js";

const PADS = 5;
const PATIENCE = 600; // milliseconds without a change, then it is drawn
const MEMORY = "drawings";
const ENLARGED = 4; // times, in the PNG of all

const element = (id) => document.getElementById(id);

const say = (words) => {
  element("status").textContent = words;
};

let card;
let pads;
let running = null;
let waiting;
let walk;
const results = new Results((drawing) => {
  const filled = pads.filter((pad) => !pad.empty);
  for (const pad of pads) {
    const marked = drawing !== null && pad === filled[drawing];
    pad.element.classList.toggle("nearest", marked);
  }
});

/** Adapt to the drawings and show what comes. */
async function run() {
  clearTimeout(waiting);
  const filled = pads.filter((pad) => !pad.empty);
  if (!filled.length) return;
  running?.abort();
  const controller = (running = new AbortController());
  const request = {
    images: filled.map((pad) => pad.content),
    steps: Number(element("steps").value),
    seed: Math.max(0, Math.floor(Number(element("seed").value)) || 0),
  };
  clearTrouble();
  document.body.dataset.state = "running";
  say("Adapting …");
  try {
    const samples = Number(element("samples").value);
    await draw({ ...request, samples }, filled, controller.signal);
    if (card.walk) {
      await walk.load({ ...request, frames: Walk.frames }, controller.signal);
    }
    document.body.dataset.state = "done";
  } catch (error) {
    if (controller.signal.aborted) return;
    document.body.dataset.state = "failed";
    say("Not finished.");
    trouble(error);
  } finally {
    if (running === controller) running = null;
  }
}

async function draw(request, filled, signal) {
  let steps = request.steps;
  let apart = null;
  let began = false;
  const start = performance.now();
  for await (const event of stream("/api/draw", request, signal)) {
    if (event.event === "given") {
      filled.forEach((pad, i) => pad.show(event.images[i], isInk()));
      ({ apart, steps } = event);
    } else if (event.event === "prior") {
      results.prior(await decode(event));
    } else if (event.event === "nearest") {
      results.nearest(event, apart);
      say(summary(request, filled.length, steps, performance.now() - start));
    } else if (event.event === "step") {
      const sheet = await decode(event);
      if (signal.aborted) return;
      if (!began) {
        results.reset();
        results.moment.value = results.moment.max = 0;
        began = true;
      }
      results.add(event.of, { ...event, sheet });
      if (event.of === "adapted") say(`Step ${event.step} of ${steps} …`);
    }
  }
  element("png").disabled = element("zip").disabled = false;
}

function summary(request, given, steps, milliseconds) {
  const seconds = (milliseconds / 1000).toFixed(1);
  const drawings = given === 1 ? "one drawing" : `${given} drawings`;
  const start = `${request.samples} siblings of ${drawings} after ${steps} `;
  if (steps < request.steps) {
    return (
      `${start}steps: it takes at least ${card.least_images} drawings to ` +
      "adapt, with fewer it guesses at once."
    );
  }
  const best =
    card.best_of > 1 ? `, each the best of ${card.best_of} tries` : "";
  return `${start}${steps === 1 ? "step" : "steps"} in ${seconds} s${best}.`;
}

/** Whether images are strokes, shown as ink on paper. */
const isInk = () => card.image[2] === 1;

function changed(finished) {
  clearTimeout(waiting);
  element("draw").disabled = pads.every((pad) => pad.empty);
  try {
    const states = pads.map((pad) => pad.state);
    sessionStorage.setItem(MEMORY, JSON.stringify(states));
  } catch {
    // Too much for the browser to keep: a reload then begins anew.
  }
  const count = pads.filter((pad) => !pad.empty).length;
  if (finished && count >= Math.max(2, card.least_images)) {
    waiting = setTimeout(run, PATIENCE);
  }
}

function recall() {
  try {
    const states = JSON.parse(sessionStorage.getItem(MEMORY) ?? "[]");
    states.slice(0, PADS).forEach((state, i) => {
      pads[i].state = state;
    });
  } catch {
    sessionStorage.removeItem(MEMORY);
  }
}

/** Put pictures into the pads: the empty ones first, else from the first. */
function place(pictures) {
  const empty = pads.filter((pad) => pad.empty);
  const free = pictures.length <= empty.length ? empty : pads;
  pictures.slice(0, PADS).forEach((picture, i) => free[i].fill(picture));
  changed(false);
  run();
  if (pictures.length > PADS) {
    trouble(
      new Refusal(
        `There are ${PADS} places; the first ${PADS} of ` +
          `${pictures.length} pictures were taken.`,
      ),
    );
  }
}

async function take(chosen) {
  clearTrouble();
  const pictures = [];
  try {
    for (const file of chosen) pictures.push(await shrink(file));
    if (pictures.length) place(pictures);
  } catch (error) {
    trouble(error);
  }
}

function listenForSaving() {
  element("png").addEventListener("click", async () => {
    const bytes = await picture(results.frame.sheet, ENLARGED);
    save(new Blob([bytes], { type: "image/png" }), "siblings.png");
  });
  element("zip").addEventListener("click", async () => {
    save(archive(await files(results.frame.sheet, "sibling")), "siblings.zip");
  });
}

function listenForSettings() {
  for (const name of ["steps", "samples"]) {
    const input = element(name);
    const tell = () => {
      element(`${name}-value`).textContent = input.value;
    };
    input.addEventListener("input", tell);
    input.addEventListener("change", run);
    tell();
  }
  element("seed").addEventListener("change", run);
  element("reseed").addEventListener("click", () => {
    element("seed").value = 1 + Math.floor(Math.random() * 9999);
    run();
  });
}

function describe() {
  const [height, width, channels] = card.image;
  const colour = channels === 1 ? "grey" : "colour";
  element("card").textContent =
    `${card.name} · ${card.about} · ${height} × ${width} pixels, ${colour}`;
  if (!card.inputs.includes("strokes")) {
    element("title").textContent = "Give it a few pictures.";
    element("lead").textContent =
      "Of something it has never seen. From them it learns to draw more.";
    element("given-title").textContent = "Your pictures";
    element("keys").hidden = true;
  }
  const steps = element("steps");
  steps.max = card.limits.steps;
  steps.value = card.steps;
  const samples = element("samples");
  samples.max = card.limits.samples - (card.limits.samples % 8);
  element("scratch").hidden = !card.scratch;
  element("panels").classList.toggle("pair", !card.scratch);
  element("walking").hidden = !card.walk;
  for (const canvas of document.querySelectorAll("figure canvas, .walk canvas")) {
    canvas.classList.toggle("ink", isInk());
  }
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
  const inks = card.inputs.includes("strokes");
  pads = Array.from(
    { length: PADS },
    (_, i) => new Pad(i + 1, PADS, inks, changed),
  );
  element("pads").replaceChildren(...pads.map((pad) => pad.element));
  walk = new Walk();
  new Picker(
    card.rows,
    isInk(),
    (row) => {
      for (const pad of pads) pad.clear();
      const ink = isInk();
      place(row.images.map((url) => ({ url, name: row.name, ink })));
    },
    trouble,
  );
  listenForSettings();
  listenForChoice(element("files"), take);
  listenForDrops(take);
  listenForSaving();
  element("draw").addEventListener("click", () => {
    element("result-title").scrollIntoView({ block: "nearest" });
    run();
  });
  element("clear").addEventListener("click", () => {
    for (const pad of pads) pad.clear();
    changed(false);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const pad of pads) pad.paint();
  });
  recall();
  changed(true);
  document.body.dataset.state = "ready";
}

begin();
