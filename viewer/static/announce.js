// What a screen reader is told: what somebody waits for at once, how things go now and then.

import { $ } from "./dom.js";
import { count, plural } from "./format.js";

const SUMMARY_MS = 20_000;

export class Announcer {
  constructor() {
    this.region = $("announce");
    this.next = performance.now() + 3000;
    this.before = null;
  }

  say(sentence) {
    this.region.textContent = sentence;
  }

  /** A sentence about what has come since the last one, when it is time for it. */
  summary(figures) {
    const now = performance.now();
    if (now < this.next) return;
    const came = figures.total - (this.before?.total ?? 0);
    const dead = figures.dead - (this.before?.dead ?? 0);
    this.next = now + SUMMARY_MS;
    this.before = { total: figures.total, dead: figures.dead };
    if (came + dead === 0) return;
    const most = figures.classes[0]?.[0];
    this.say(
      `${plural(came, "prediction", "predictions")} more${most ? `, most of them ${most}` : ""}; ` +
        `${count(figures.rates.at(-1))} a second; ${plural(dead, "dead letter", "dead letters")} more.`,
    );
  }
}
