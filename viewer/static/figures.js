// The last minute in figures, sparklines and bars.

import { $, make, setShare, setText } from "./dom.js";
import { count, ms, percent, plural } from "./format.js";
import { Stages } from "./stages.js";

const MAX_BARS = 12;

export class Figures {
  constructor() {
    this.stages = new Stages($("stages"));
    this.classes = $("classes");
    this.devices = $("devices");
  }

  show(figures) {
    const last = figures.rates.at(-1);
    setText($("rate"), count(last));
    setText($("p50"), ms(figures.p50_ms));
    setText($("p99"), ms(figures.p99_ms));
    setText($("right"), figures.known ? ((100 * figures.right) / figures.known).toFixed(1) : "–");
    setText($("right-note"), figures.known ? `${count(figures.right)} of ${count(figures.known)}` : "no true labels");
    setText($("dead-count"), count(figures.dead));
    setText($("waiting"), count(figures.waiting));
    setText($("forgotten"), lost(figures));
    setText($("models"), figures.models.map(({ name, sha256 }) => `${name} ${sha256}`).join(", "));
    setText($("sampling"), sampling(last, figures.shown.at(-1)));
    spark($("rate-spark"), figures.rates);
    spark($("p99-spark"), figures.p99s);
    this.stages.show(figures.stages);
    bars(this.classes, figures.classes, figures.count);
    bars(this.devices, figures.devices, figures.count);
  }
}

function sampling(rate, shown) {
  return shown < rate ? `showing ${count(shown)} of ${count(rate)} a second` : "showing all";
}

/** What was asked and will not be shown as answered, and why. */
function lost({ forgotten, repeated, unreadable, skipped }) {
  const parts = [
    [forgotten, "forgotten"],
    [skipped, "skipped"],
    [repeated, "repeated"],
    [unreadable, "unreadable"],
  ].filter(([number]) => number > 0);
  return parts.length ? parts.map(([number, what]) => `${count(number)} ${what}`).join(", ") : "none forgotten";
}

/** A line of numbers from nought to their greatest; where there is none, there is a gap. */
function spark(canvas, numbers) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const top = Math.max(...numbers.map((number) => number ?? 0));
  context.clearRect(0, 0, width, height);
  if (top <= 0) return;
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 1.5 * ratio;
  context.beginPath();
  let isDown = false;
  numbers.forEach((number, index) => {
    const x = ((width - 2) * index) / (numbers.length - 1) + 1;
    const y = height - 1 - ((height - 2 * ratio) * (number ?? 0)) / top;
    if (number !== null && isDown) context.lineTo(x, y);
    else if (number !== null) context.moveTo(x, y);
    isDown = number !== null;
  });
  context.stroke();
}

/** One bar for each of [[name, number], …]; elements are used again. */
function bars(list, entries, total) {
  const shown = entries.slice(0, MAX_BARS);
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach(([name, number], index) => {
    const item = list.children[index] ?? list.appendChild(make("li", "", make("span", "name"), make("span", "share")));
    setText(item.children[0], name || "without a name");
    setText(item.children[1], percent(number / total));
    setShare(item, number / total);
    item.title = plural(number, "prediction", "predictions");
  });
}
