// A square to draw in, by pointer, pen, finger or keyboard.

const SIZE = 420; // pixels of the canvas, however large it is shown
const PEN = 0.048 * SIZE;
const STEP = 0.04; // way of an arrow key, in sides of the square
const NEAR = 0.004; // points nearer than this to the last are left out

export class Pad {
  /**
   * @param {number} number from 1
   * @param {number} count of all pads
   * @param {boolean} inks whether it can be drawn in, not only filled
   * @param {(finished: boolean) => void} changed
   */
  constructor(number, count, inks, changed) {
    this.number = number;
    this.count = count;
    this.inks = inks;
    this.changed = changed;
    this.strokes = [];
    this.picture = null; // {url, name, ink} where it holds an image
    this.cursor = null; // of the keyboard: {x, y, down}
    this.element = document.createElement("div");
    this.element.className = "pad";
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = SIZE;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "drawing pad");
    this.canvas.setAttribute("aria-describedby", "keys");
    this.seen = document.createElement("img");
    this.seen.className = "seen";
    this.seen.alt = "";
    this.seen.title = "As the model sees it";
    this.seen.hidden = true;
    const tools = document.createElement("div");
    tools.className = "tools";
    this.undoButton = this.#tool("Undo", () => this.undo());
    this.clearButton = this.#tool("Clear", () => this.clear());
    tools.append(this.undoButton, this.clearButton);
    this.element.append(this.canvas, this.seen, tools);
    if (inks) this.#listen();
    this.paint();
  }

  #tool(text, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", `${text} drawing ${this.number}`);
    button.addEventListener("click", () => {
      act();
      this.changed(true);
    });
    return button;
  }

  get empty() {
    return !this.strokes.length && !this.picture;
  }

  /** What the server is sent. */
  get content() {
    if (!this.picture) return { strokes: this.strokes };
    const { url, name } = this.picture;
    return { file: url.slice(url.indexOf(",") + 1), name };
  }

  get state() {
    return { strokes: this.strokes, picture: this.picture };
  }

  set state({ strokes, picture }) {
    this.strokes = strokes;
    this.picture = picture;
    this.paint();
  }

  /** Take an image; `ink`: bright strokes on dark, shown as if drawn here. */
  fill({ url, name, ink }) {
    this.strokes = [];
    this.picture = { url, name, ink };
    this.seen.hidden = true;
    this.paint();
  }

  undo() {
    if (this.picture) this.picture = null;
    else this.strokes.pop();
    this.seen.hidden = true;
    this.paint();
  }

  clear() {
    this.strokes = [];
    this.picture = null;
    this.cursor = null;
    this.seen.hidden = true;
    this.paint();
  }

  /** Show what the model was given. */
  show(url, ink) {
    this.seen.src = url;
    this.seen.classList.toggle("ink", ink);
    this.seen.hidden = this.empty;
  }

  #listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.pointer !== undefined) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.#begin(this.#point(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.pointer) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const move of moves.length ? moves : [event]) {
        this.#add(this.#point(move));
      }
      this.paint();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => {
        if (event.pointerId !== this.pointer) return;
        this.pointer = undefined;
        this.changed(true);
      });
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.cursor = null;
      this.paint();
    });
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    const round = (value) => Math.round(value * 1e4) / 1e4;
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    // A mouse says 0.5; a finger may say 0.
    const pressure = event.pressure || 0.5;
    return [round(x), round(y), round(pressure)].map((v) =>
      Math.min(1, Math.max(0, v)),
    );
  }

  #begin(point) {
    if (this.picture) this.clear();
    this.seen.hidden = true;
    this.strokes.push([point]);
    this.changed(false);
    this.paint();
  }

  #add(point) {
    const stroke = this.strokes.at(-1);
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < NEAR) return;
    stroke.push(point);
  }

  #key(event) {
    const moves = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, -STEP],
      ArrowDown: [0, STEP],
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      this.cursor ??= { x: 0.5, y: 0.5, down: false };
      const inside = (value) => Math.min(0.98, Math.max(0.02, value));
      const [dx, dy] = moves[event.key];
      this.cursor.x = inside(this.cursor.x + dx);
      this.cursor.y = inside(this.cursor.y + dy);
      if (this.cursor.down) this.#add([this.cursor.x, this.cursor.y, 0.5]);
    } else if (event.key === " ") {
      this.cursor ??= { x: 0.5, y: 0.5, down: false };
      this.cursor.down = !this.cursor.down;
      if (this.cursor.down) this.#begin([this.cursor.x, this.cursor.y, 0.5]);
      else this.changed(true);
    } else if (event.key === "Backspace" || event.key === "Delete") {
      if (event.key === "Backspace") this.undo();
      else this.clear();
      this.changed(true);
    } else {
      return;
    }
    event.preventDefault();
    this.paint();
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    context.clearRect(0, 0, SIZE, SIZE);
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = ink;
    for (const stroke of this.strokes) {
      let [x, y] = stroke[0];
      for (const [toX, toY, pressure] of stroke) {
        context.lineWidth = PEN * (0.75 + 0.5 * pressure);
        context.beginPath();
        context.moveTo(x * SIZE, y * SIZE);
        context.lineTo(toX * SIZE, toY * SIZE);
        context.stroke();
        [x, y] = [toX, toY];
      }
    }
    if (this.picture) this.#paintPicture(context);
    else if (this.empty && !this.cursor) this.#paintNumber(context, style);
    if (this.cursor) this.#paintCursor(context, style);
    this.undoButton.disabled = this.clearButton.disabled = this.empty;
    const what = this.picture
      ? `holds ${this.picture.name}`
      : this.empty
        ? "empty"
        : `${this.strokes.length} strokes`;
    this.canvas.setAttribute(
      "aria-label",
      `Drawing ${this.number} of ${this.count}, ${what}`,
    );
  }

  #paintPicture(context) {
    const url = this.picture.url;
    const image = new Image();
    image.onload = () => {
      if (this.picture?.url !== url) return;
      context.imageSmoothingQuality = "high";
      const scale = SIZE / Math.max(image.width, image.height);
      const [w, h] = [image.width * scale, image.height * scale];
      context.drawImage(image, (SIZE - w) / 2, (SIZE - h) / 2, w, h);
      if (this.picture.ink) this.#ink(context);
    };
    image.src = url;
  }

  /** Turn bright strokes on dark into strokes of ink on nothing. */
  #ink(context) {
    const drawn = context.getImageData(0, 0, SIZE, SIZE);
    const { data } = drawn;
    for (let i = 0; i < data.length; i += 4) data[i + 3] = data[i];
    context.putImageData(drawn, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillRect(0, 0, SIZE, SIZE);
    context.globalCompositeOperation = "source-over";
  }

  #paintNumber(context, style) {
    context.fillStyle = style.getPropertyValue("--line").trim();
    context.font = `160px ${style.getPropertyValue("--serif")}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(this.number, SIZE / 2, SIZE / 2);
  }

  #paintCursor(context, style) {
    const { x, y, down } = this.cursor;
    context.strokeStyle = style.getPropertyValue("--accent").trim();
    context.fillStyle = context.strokeStyle;
    context.lineWidth = 5;
    context.beginPath();
    context.arc(x * SIZE, y * SIZE, PEN, 0, 2 * Math.PI);
    if (down) context.fill();
    else context.stroke();
  }
}
