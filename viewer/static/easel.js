// A picture of the model's size, drawn pixel by pixel with mouse, finger or keyboard.

import { $ } from "./dom.js";
import { imageData } from "./picture.js";

const SIDE = 168;

export class Easel {
  /** `size` is {w, h, c, chw}: c is 1 for grey, 3 for colour; chw says that the bytes go plane by plane. */
  constructor(size) {
    Object.assign(this, size);
    this.pixels = new Uint8Array(this.w * this.h * this.c);
    this.canvas = $("paper");
    this.cursor = $("cursor");
    this.x = Math.floor(this.w / 2);
    this.y = Math.floor(this.h / 2);
    this.last = null;
    const scale = Math.max(this.w, this.h) <= SIDE ? Math.floor(SIDE / Math.max(this.w, this.h)) : SIDE / Math.max(this.w, this.h);
    this.canvas.width = this.w;
    this.canvas.height = this.h;
    this.canvas.style.width = `${this.w * scale}px`;
    this.canvas.style.height = `${this.h * scale}px`;
    $("shade-label").hidden = this.c === 3;
    $("colour-label").hidden = this.c === 1;
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => (this.last = null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => this.moveCursor(0, 0));
    this.canvas.addEventListener("blur", () => (this.cursor.hidden = true));
    this.refresh();
  }

  get isEmpty() {
    return this.pixels.every((value) => value === 0);
  }

  /** What goes into the request. */
  get bytes() {
    if (!this.chw || this.c === 1) return this.pixels.slice();
    const planes = new Uint8Array(this.pixels.length);
    const area = this.w * this.h;
    for (let i = 0; i < area; i += 1) for (let c = 0; c < 3; c += 1) planes[c * area + i] = this.pixels[3 * i + c];
    return planes;
  }

  clear() {
    this.pixels.fill(0);
    this.refresh();
  }

  invert() {
    this.pixels.forEach((value, index) => (this.pixels[index] = 255 - value));
    this.refresh();
  }

  /** Take a picture file over, resized to this size as `edge.query` does, except transparent parts; raises what the browser says. */
  async load(file) {
    const bitmap = await createImageBitmap(file, { resizeWidth: this.w, resizeHeight: this.h, resizeQuality: "high" });
    const canvas = new OffscreenCanvas(this.w, this.h);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const { data } = context.getImageData(0, 0, this.w, this.h);
    for (let i = 0; i < this.w * this.h; i += 1) {
      const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
      if (this.c === 1) this.pixels[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      else this.pixels.set([red, green, blue], 3 * i);
    }
    this.refresh();
  }

  get ink() {
    if (document.querySelector("input[name=tool]:checked").value === "eraser") return Array(this.c).fill(0);
    if (this.c === 1) return [$("shade").valueAsNumber];
    const colour = Number.parseInt($("colour").value.slice(1), 16);
    return [colour >> 16, (colour >> 8) & 255, colour & 255];
  }

  begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.place(event);
    this.stroke(this.last, this.last, this.ink);
  }

  drag(event) {
    if (this.last === null) return;
    // A browser hands out several moves at once.
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) {
      const next = this.place(step);
      this.stroke(this.last, next, this.ink);
      this.last = next;
    }
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.w, ((event.clientY - box.top) / box.height) * this.h];
  }

  key(event) {
    const step = Math.max(1, Math.round(this.w / 64)) * (event.shiftKey ? 4 : 1);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const spot = [this.x + 0.5, this.y + 0.5];
    if (event.key in moves) this.moveCursor(...moves[event.key]);
    else if (event.key === " ") this.stroke(spot, spot, this.ink);
    else if (event.key === "Delete" || event.key === "Backspace") this.stroke(spot, spot, Array(this.c).fill(0));
    else if (event.key === "Enter") $("send").click();
    else return;
    event.preventDefault();
  }

  moveCursor(dx, dy) {
    this.x = Math.min(this.w - 1, Math.max(0, this.x + dx));
    this.y = Math.min(this.h - 1, Math.max(0, this.y + dy));
    this.cursor.hidden = false;
    this.cursor.style.left = `${((this.x + 0.5) / this.w) * 100}%`;
    this.cursor.style.top = `${((this.y + 0.5) / this.h) * 100}%`;
  }

  /** A line of round spots, each with a soft edge. */
  stroke([fromX, fromY], [toX, toY], ink) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(toX - fromX, toY - fromY)));
    for (let step = 0; step <= steps; step += 1) {
      this.spot(fromX + ((toX - fromX) * step) / steps, fromY + ((toY - fromY) * step) / steps, ink);
    }
    this.refresh();
  }

  spot(x, y, ink) {
    const radius = ($("width").valueAsNumber * Math.max(this.w, this.h)) / 28 / 2;
    for (let row = Math.max(0, Math.floor(y - radius - 1)); row <= Math.min(this.h - 1, y + radius + 1); row += 1) {
      for (let column = Math.max(0, Math.floor(x - radius - 1)); column <= Math.min(this.w - 1, x + radius + 1); column += 1) {
        const cover = Math.min(1, radius + 0.5 - Math.hypot(column + 0.5 - x, row + 0.5 - y));
        if (cover > 0) this.blend((row * this.w + column) * this.c, ink, cover);
      }
    }
  }

  blend(at, ink, cover) {
    ink.forEach((wanted, channel) => {
      const value = this.pixels[at + channel];
      const next = value + (wanted - value) * cover;
      // A soft edge must not eat into what is covered already, however often it is passed over.
      this.pixels[at + channel] = Math.round(wanted >= value ? Math.max(value, wanted * cover) : next);
    });
  }

  refresh() {
    this.canvas.getContext("2d").putImageData(imageData(this.pixels, this.w, this.h, this.c), 0, 0);
  }
}
