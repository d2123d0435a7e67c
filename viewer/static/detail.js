// All that is known of one prediction.

import { $, make, setText } from "./dom.js";
import { ms, percent, time } from "./format.js";
import { paint } from "./picture.js";
import { Stages } from "./stages.js";
import { verdictOf } from "./wall.js";

export class Detail {
  constructor() {
    this.dialog = $("detail");
    this.stages = new Stages($("detail-stages"));
    $("detail-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  open(prediction) {
    setText($("detail-heading"), `${prediction.label}, ${percent(prediction.confidence)}`);
    paint($("detail-picture"), prediction.image, 196);
    const rows = [
      ["verdict", verdictOf(prediction) || "no true label"],
      ["created to sent", `${ms(prediction.total_ms)} ms`],
      ["device", prediction.device || "without a name"],
      ["model", `${prediction.model} ${prediction.sha256}`],
      ["batch", prediction.batch],
      ["request", prediction.id],
      ["record", prediction.place],
      ["time", time(prediction.at)],
    ];
    $("detail-list").replaceChildren(...rows.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", String(value)))));
    this.stages.show(prediction);
    this.dialog.showModal();
  }
}
