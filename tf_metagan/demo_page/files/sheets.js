// Sheets of samples: one picture, cut into cells.

export const COLUMNS = 8;

/** Decode a sheet of the server: {image, count, width and height of a cell}. */
export async function decode({ sheet, count }) {
  const image = new Image();
  image.src = sheet;
  await image.decode();
  const lines = Math.ceil(count / COLUMNS);
  const [width, height] = [image.width / COLUMNS, image.height / lines];
  return { image, count, width, height };
}

function cell({ width, height }, index) {
  const row = Math.floor(index / COLUMNS);
  return [(index % COLUMNS) * width, row * height, width, height];
}

/** Show a whole sheet on a canvas, with a little room between samples. */
export function show(canvas, sheet, columns = COLUMNS) {
  const lines = Math.ceil(sheet.count / columns);
  const zoom = Math.max(1, Math.round(128 / sheet.width));
  const gap = Math.round(zoom * 1.5);
  const [w, h] = [sheet.width * zoom, sheet.height * zoom];
  const width = columns * (w + gap) - gap;
  const height = lines * (h + gap) - gap;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    canvas.style.aspectRatio = `${width} / ${height}`;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  for (let i = 0; i < sheet.count; i++) {
    const x = (i % columns) * (w + gap);
    const y = Math.floor(i / columns) * (h + gap);
    context.drawImage(sheet.image, ...cell(sheet, i), x, y, w, h);
  }
}

/** Show some samples beside each other. */
export function showStrip(canvas, sheet, indices) {
  const side = Math.max(64, sheet.width);
  canvas.width = indices.length * side;
  canvas.height = side;
  canvas.style.aspectRatio = `${indices.length}`;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  indices.forEach((index, place) => {
    context.drawImage(
      sheet.image, ...cell(sheet, index), place * side, 0, side, side,
    );
  });
}

/** Encode all samples as the model drew them: PNG files, NAME_01.png. */
export async function files(sheet, name) {
  const canvas = document.createElement("canvas");
  canvas.width = sheet.width;
  canvas.height = sheet.height;
  const context = canvas.getContext("2d");
  const found = [];
  for (let i = 0; i < sheet.count; i++) {
    const [x, y, w, h] = cell(sheet, i);
    context.drawImage(sheet.image, x, y, w, h, 0, 0, w, h);
    const number = String(i + 1).padStart(2, "0");
    found.push([`${name}_${number}.png`, await png(canvas)]);
  }
  return found;
}

/** Encode the whole sheet, enlarged by whole pixels: a PNG file. */
export async function picture(sheet, zoom) {
  const canvas = document.createElement("canvas");
  canvas.width = sheet.image.width * zoom;
  canvas.height = sheet.image.height * zoom;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet.image, 0, 0, canvas.width, canvas.height);
  return png(canvas);
}

async function png(canvas) {
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  return new Uint8Array(await blob.arrayBuffer());
}
