// Pictures that were sent from this page, and what became of them.

import { $, make, setShare, setText } from "./dom.js";
import { ms, percent } from "./format.js";
import { imageData } from "./picture.js";
import { Stages, STAGES } from "./stages.js";

const MAX_KEPT = 3;
const PATIENCE_MS = 15_000;

export class Mine {
  constructor(easel, say) {
    this.easel = easel;
    this.say = say;
    this.sent = new Map();
    $("send").addEventListener("click", () => this.send());
    $("clear").addEventListener("click", () => easel.clear());
    $("invert").addEventListener("click", () => easel.invert());
    $("upload").addEventListener("change", (event) => this.load(event.target));
  }

  has(id) {
    return this.sent.has(id);
  }

  async load(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      await this.easel.load(file);
      this.say(`${file.name.slice(0, 60)} is in the drawing area.`);
    } catch {
      this.tell(`${file.name.slice(0, 60)} is no PNG or JPEG that this browser can read.`);
    }
  }

  async send() {
    if (this.easel.isEmpty) {
      this.tell("Draw something first, or upload a picture.");
      return;
    }
    const id = newId();
    const entry = this.keep(id);
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const answer = await fetch(`/requests/${id}`, { method: "POST", headers, body: this.easel.bytes });
      if (!answer.ok) this.fail(entry, (await answer.text()).slice(0, 200));
    } catch {
      this.fail(entry, "the viewer’s server is away");
    }
  }

  /** A line for what is about to be sent. */
  keep(id) {
    const { w, h, c, pixels } = this.easel;
    const picture = make("canvas", "picture");
    Object.assign(picture, { width: w, height: h });
    picture.setAttribute("aria-hidden", "true");
    picture.getContext("2d").putImageData(imageData(pixels, w, h, c), 0, 0);
    const words = make("div", "words", make("span", "label", "sent, waiting for its answer"), make("span", "confidence"), make("span", "meta"));
    const item = make("li", "is-waiting", picture, words);
    const entry = { id, item, words, began: performance.now(), timer: 0 };
    entry.timer = setTimeout(() => this.fail(entry, "no answer yet: is a classifier running?", false), PATIENCE_MS);
    this.sent.set(id, entry);
    $("mine").prepend(item);
    for (const old of [...this.sent.values()].slice(0, -MAX_KEPT)) this.drop(old);
    return entry;
  }

  drop(entry) {
    clearTimeout(entry.timer);
    entry.item.remove();
    this.sent.delete(entry.id);
  }

  answered(prediction) {
    const entry = this.sent.get(prediction.id);
    if (!entry || entry.isDone) return;
    const took = performance.now() - entry.began;
    entry.isDone = true;
    clearTimeout(entry.timer);
    entry.item.className = "is-answered";
    const [label, confidence, meta] = entry.words.children;
    setText(label, prediction.label);
    setText(confidence, percent(prediction.confidence));
    setShare(confidence, prediction.confidence);
    setText(meta, `${ms(took)} ms from click to answer`);
    const known = STAGES.reduce((sum, [name]) => sum + Math.max(0, prediction[name] ?? 0), 0);
    new Stages(entry.item, STAGES).show({ ...prediction, page: Math.max(0, took - known) });
    this.say(`Your picture is ${prediction.label}, ${percent(prediction.confidence, 0)} sure, after ${ms(took)} milliseconds.`);
  }

  rejected({ id, reason }) {
    const entry = this.sent.get(id);
    if (entry) this.fail(entry, `dead letter: ${reason}`);
  }

  fail(entry, reason, isFinal = true) {
    if (entry.isDone) return;
    entry.isDone = isFinal;
    clearTimeout(entry.timer);
    entry.item.className = "is-failed";
    this.tell(reason, entry);
  }

  tell(sentence, entry) {
    if (entry) setText(entry.words.firstChild, sentence);
    this.say(sentence, true);
  }
}

/** 32 hex digits; crypto.randomUUID is only there where the page came by https or from this machine. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
