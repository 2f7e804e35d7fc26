// Files of this machine: taken, shrunk, and saved.

import { Refusal } from "./server.js";

const FILE_BYTES = 12 * 2 ** 20;
const FILE_SIDE = 512; // pixels to which pictures are shrunk before they go

/** Decode a file here, so that only a small picture is sent. */
export async function shrink(file) {
  if (file.size > FILE_BYTES) {
    const size = (file.size / 2 ** 20).toFixed(0);
    throw new Refusal(
      `${file.name} has ${size} MB; expected at most ` +
        `${FILE_BYTES / 2 ** 20} MB. Give a smaller picture.`,
    );
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Refusal(
      `${file.name} is no picture that this browser can read; expected PNG ` +
        "or JPEG.",
    );
  }
  const scale = Math.min(1, FILE_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return { url: canvas.toDataURL("image/png"), name: file.name };
}

/**
 * Take files that are chosen.
 * @param {HTMLInputElement} input that chooses
 * @param {(files: File[]) => void} take
 */
export function listenForChoice(input, take) {
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
}

/**
 * Take files that are dropped anywhere.
 * @param {(files: File[], place: EventTarget | null) => void} take
 */
export function listenForDrops(take) {
  let inside = 0;
  const cover = (change) => {
    inside = change;
    document.getElementById("dropping").hidden = inside <= 0;
  };
  addEventListener("dragenter", () => cover(inside + 1));
  addEventListener("dragleave", () => cover(inside - 1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    cover(0);
    take([...event.dataTransfer.files], event.target);
  });
}

/** Save a blob under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
