// The server's events, for as long as the page is open: it comes back after the server does.

const RETRY_MS = 1000;
const SILENCE_MS = 5000; // the server speaks every second

/** `handlers` are by the event's name; `onState(state, sentence)` hears of every change. */
export class Stream {
  constructor(url, handlers, onState) {
    this.url = url;
    this.handlers = handlers;
    this.onState = onState;
    this.open();
    setInterval(() => this.check(), 1000);
  }

  open() {
    this.source = new EventSource(this.url);
    this.heard = performance.now();
    for (const [name, handle] of Object.entries(this.handlers)) {
      this.source.addEventListener(name, (event) => {
        this.heard = performance.now();
        this.onState("connected", "connected");
        handle(JSON.parse(event.data));
      });
    }
    this.source.addEventListener("error", () => this.lost());
  }

  lost() {
    if (this.source.readyState !== EventSource.CLOSED) {
      this.onState("away", "The viewer’s server is away; this page comes back when it does.");
      return;
    }
    // After an answer that is no stream a browser does not try again by itself.
    this.refused();
    setTimeout(() => this.open(), RETRY_MS);
  }

  async refused() {
    try {
      const answer = await fetch(this.url, { headers: { Accept: "text/plain" } });
      const isStream = answer.ok;
      const reason = isStream ? "" : (await answer.text()).slice(0, 200).trim();
      if (isStream) await answer.body.cancel();
      else this.onState("away", `The viewer’s server refuses this page: ${reason}.`);
    } catch {
      this.onState("away", "The viewer’s server is away; this page comes back when it does.");
    }
  }

  check() {
    if (performance.now() - this.heard < SILENCE_MS) return;
    this.onState("away", "The viewer’s server has said nothing for 5 seconds; trying again.");
    this.source.close();
    this.open();
  }
}
