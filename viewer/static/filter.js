// Which predictions are shown: by class, device and confidence.

import { $, make } from "./dom.js";

const MAX_OPTIONS = 200;

export class Filter {
  constructor(onChange) {
    this.label = $("filter-label");
    this.device = $("filter-device");
    this.from = $("filter-from");
    this.to = $("filter-to");
    const form = $("filter");
    form.addEventListener("input", onChange);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(onChange)); // the fields change after the event
  }

  get isOn() {
    return this.label.value !== "" || this.device.value !== "" || this.least > 0 || this.most < 1;
  }

  get least() {
    return (this.from.valueAsNumber || 0) / 100;
  }

  get most() {
    return (Number.isNaN(this.to.valueAsNumber) ? 100 : this.to.valueAsNumber) / 100;
  }

  matches({ label, device, confidence }) {
    return (
      (this.label.value === "" || this.label.value === `=${label}`) &&
      (this.device.value === "" || this.device.value === `=${device}`) &&
      confidence >= this.least &&
      confidence <= this.most
    );
  }

  offerLabels(labels) {
    offer(this.label, labels);
  }

  offerDevices(devices) {
    offer(this.device, devices);
  }
}

/** Add what is not there yet; an option's value begins with "=", since a name may be empty. */
function offer(select, names) {
  const known = new Set([...select.options].map((option) => option.value));
  for (const name of names) {
    if (known.has(`=${name}`) || select.options.length > MAX_OPTIONS) continue;
    const option = make("option", "", name || "without a name");
    option.value = `=${name}`;
    select.append(option);
  }
}
