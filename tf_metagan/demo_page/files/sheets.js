// Sheets of samples: one picture, cut into cells.

export const COLUMNS = 8;

/** Decode a sheet of the server: {bitmap, count, side}. */
export async function decode({ sheet, count }) {
  const image = new Image();
  image.src = sheet;
  await image.decode();
  return { image, count, side: image.width / COLUMNS };
}

function cell(sheet, index) {
  const { side } = sheet;
  const row = Math.floor(index / COLUMNS);
  return [(index % COLUMNS) * side, row * side, side, side];
}

/** Show a whole sheet on a canvas, with a little room between samples. */
export function show(canvas, sheet) {
  const lines = Math.ceil(sheet.count / COLUMNS);
  const zoom = Math.max(1, Math.round(128 / sheet.side));
  const [side, gap] = [sheet.side * zoom, Math.round(zoom * 1.5)];
  const pitch = side + gap;
  const [width, height] = [COLUMNS * pitch - gap, lines * pitch - gap];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    canvas.style.aspectRatio = `${width} / ${height}`;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  for (let i = 0; i < sheet.count; i++) {
    const [x, y] = [(i % COLUMNS) * pitch, Math.floor(i / COLUMNS) * pitch];
    context.drawImage(sheet.image, ...cell(sheet, i), x, y, side, side);
  }
}

/** Show some samples beside each other. */
export function showStrip(canvas, sheet, indices) {
  const side = Math.max(64, sheet.side);
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

/** Encode some samples as the model drew them: a PNG file each. */
export async function files(sheet) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = sheet.side;
  const context = canvas.getContext("2d");
  const found = [];
  for (let i = 0; i < sheet.count; i++) {
    const [x, y, w, h] = cell(sheet, i);
    context.drawImage(sheet.image, x, y, w, h, 0, 0, w, h);
    const name = `sibling_${String(i + 1).padStart(2, "0")}.png`;
    found.push([name, await png(canvas)]);
  }
  return found;
}

/** Encode the whole sheet, enlarged by whole pixels: a PNG file. */
export async function picture(sheet, zoom = 4) {
  const canvas = document.createElement("canvas");
  const lines = Math.ceil(sheet.count / COLUMNS);
  canvas.width = COLUMNS * sheet.side * zoom;
  canvas.height = lines * sheet.side * zoom;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet.image, 0, 0, canvas.width, canvas.height);
  return png(canvas);
}

async function png(canvas) {
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  return new Uint8Array(await blob.arrayBuffer());
}
