// Predictions as tiles, the newest first, in as many rows as there is room for.

import { make, setText } from "./dom.js";
import { ms, roughly } from "./format.js";
import { paint } from "./picture.js";

const SIDE = 64;

const MAX_KEPT = 120;
const CAN_HOVER = matchMedia("(hover: hover)"); // where fingers point, the last tile touched counts as hovered over

/** A list of tiles, each made once and used again; `onOpen(prediction)` is called when one is chosen. */
export class Wall {
  constructor(list, rows, empty, filter, onOpen) {
    this.list = list;
    this.rows = rows;
    this.filter = filter;
    this.onOpen = onOpen;
    this.kept = []; // the newest, for when the filter changes
    this.queue = []; // those of them that are to be shown
    this.shown = new WeakMap();
    this.empty = make("li", "nothing", empty);
    list.append(this.empty);
    list.addEventListener("click", (event) => this.open(event.target.closest("button")));
    list.addEventListener("keydown", (event) => this.move(event));
    new ResizeObserver(() => this.trim()).observe(list);
  }

  /** Tiles stand still while somebody points at one, or has moved the focus to one. */
  get isHeld() {
    return (CAN_HOVER.matches && this.list.matches(":hover")) || this.list.querySelector(":focus-visible") !== null;
  }

  get capacity() {
    return this.rows * getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
  }

  add(prediction) {
    keep(this.kept, prediction);
    if (this.filter.matches(prediction)) keep(this.queue, prediction);
  }

  get matching() {
    return this.kept.filter((prediction) => this.filter.matches(prediction));
  }

  /** The filter has changed. */
  refilter() {
    this.queue = [];
    for (const item of this.tiles()) item.remove();
    this.list.append(this.empty);
    for (const prediction of this.matching.slice(-this.capacity)) this.put(prediction);
    this.rove();
  }

  /** Show what has come since, unless it is held. */
  render() {
    if (this.queue.length === 0 || this.isHeld) return;
    const newest = this.queue.slice(-this.capacity);
    this.queue = [];
    for (const prediction of newest) this.put(prediction);
    this.rove();
  }

  tiles() {
    return [...this.list.children].filter((item) => item !== this.empty);
  }

  put(prediction) {
    const tiles = this.tiles();
    const item = tiles.length >= this.capacity ? tiles.at(-1) : newTile();
    fill(item, prediction);
    this.shown.set(item.firstChild, prediction);
    this.empty.remove();
    this.list.prepend(item);
  }

  trim() {
    for (const item of this.tiles().slice(this.capacity)) item.remove();
    this.rove();
  }

  open(button) {
    if (button) this.onOpen(this.shown.get(button));
  }

  /** One tile is in the order of tabs; arrow keys go to the others. */
  rove() {
    const buttons = this.tiles().map((item) => item.firstChild);
    const current = buttons.find((button) => button === document.activeElement) ?? buttons[0];
    for (const button of buttons) button.tabIndex = button === current ? 0 : -1;
  }

  move(event) {
    const buttons = this.tiles().map((item) => item.firstChild);
    const at = buttons.indexOf(document.activeElement);
    const columns = this.capacity / this.rows;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: buttons.length - 1 - at };
    const next = event.key in steps ? buttons[at + steps[event.key]] : undefined;
    if (!next) return;
    event.preventDefault();
    next.focus();
    this.rove();
  }
}

function keep(list, prediction) {
  list.push(prediction);
  if (list.length > MAX_KEPT) list.shift();
}

function newTile() {
  const words = make("span", "words", make("span", "label"), make("span", "verdict"), make("span", "meta", make("span"), make("span", "device")));
  const button = make("button", "tile", make("canvas"), words);
  button.type = "button";
  return make("li", "", button);
}

function fill(item, prediction) {
  const button = item.firstChild;
  const [canvas, words] = button.children;
  const [label, verdict, meta] = words.children;
  const [took, device] = meta.children;
  paint(canvas, prediction.image, SIDE);
  setText(label, prediction.label);
  setText(verdict, `${roughly(prediction.confidence)} ${verdictOf(prediction)}`);
  setText(took, `${ms(prediction.total_ms)} ms`);
  setText(device, prediction.device && ` · ${prediction.device}`);
  button.classList.toggle("is-wrong", prediction.right === false);
  button.classList.toggle("is-unsure", prediction.isUnsure);
  button.classList.toggle("is-mine", prediction.isMine);
}

export function verdictOf({ right, truth, isUnsure, isMine }) {
  const words = [];
  if (isMine) words.push("yours");
  if (right === true) words.push("✓ right");
  if (right === false) words.push(`✗ it is ${truth}`);
  if (isUnsure) words.push("unsure");
  return words.join(" · ");
}
