// What went wrong, as a sentence on the page.

import { Refusal } from "./server.js";

const element = (id) => document.getElementById(id);

export function trouble(error) {
  if (error.name === "AbortError") return;
  element("sentence").textContent =
    error instanceof Refusal ? error.message : `The page failed: ${error}.`;
  element("trouble").hidden = false;
  if (!(error instanceof Refusal)) console.error(error);
}

export function clearTrouble() {
  element("trouble").hidden = true;
}
