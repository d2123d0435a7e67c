// Where the time goes, from created to read: one bar, and a line for each stage.

import { make, setText } from "./dom.js";
import { ms } from "./format.js";

export const STAGES = [
  ["to_classifier", "Kafka, to the classifier"],
  ["queue", "waiting for a batch"],
  ["infer", "inference"],
  ["send", "encoding and handing over"],
  ["to_viewer", "Kafka, to this viewer"],
  ["page", "to the server, and onto this page"],
];

/** Elements that show {stage: ms}; stages of which nothing is known are left out. */
export class Stages {
  constructor(parent, names = STAGES.slice(0, 5)) {
    this.bar = make("div", "stage-bar");
    this.bar.setAttribute("aria-hidden", "true");
    this.rows = names.map(([name, title]) => {
      const part = make("span", `stage-${name}`);
      const value = make("dd", "", "–");
      const row = make("div", "", make("dt", "", make("span", `swatch stage-${name}`), title), value);
      this.bar.append(part);
      return { name, part, value, row };
    });
    const list = make("dl", "stage-list", ...this.rows.map(({ row }) => row));
    parent.append(this.bar, list);
  }

  show(stages) {
    const sum = this.rows.reduce((total, { name }) => total + Math.max(0, stages[name] ?? 0), 0);
    for (const { name, part, value } of this.rows) {
      const took = stages[name];
      part.style.flexGrow = sum > 0 ? Math.max(0, took ?? 0) / sum : 0;
      setText(value, took === null || took === undefined ? "–" : `${ms(took)} ms`);
    }
  }
}
