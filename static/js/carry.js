// Carries a file of this machine to an address of the server in parts. Both uploaders, of images and of volumes, are made of it: PUT with Content-Range brings a
// part, HEAD says in Upload-Offset how much is there. What came in stays, so a broken connection, a pause, a new page or a server that was started anew go on from there.
const PART = 32 << 20;
const PATIENCE = 8; // answers in a row that may pass by themselves
const AT_MOST = 15000;
export const size = (n) => { const u = ["B", "KiB", "MiB", "GiB", "TiB"]; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${n < 10 && i ? n.toFixed(1) : Math.round(n)} ${u[i]}`; };
const span = (s) => s < 90 ? `${Math.max(1, Math.round(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;

// Refused is the server's no, in its words. Anything else that goes wrong is the connection's, and is tried again.
export class Refused extends Error {
  constructor(message, status = 0) { super(message); this.status = status; }
}

// refusal reads the server's problem; a proxy's page has none, and then the status must do.
export function refusal(status, text) {
  let p = {};
  try { p = JSON.parse(text); } catch { /* not ours */ }
  return new Refused([p.detail || p.title || `The server answered ${status}.`, p.fix].filter(Boolean).join(" "), status);
}

// Carrying is one file on its way to url; query is what the PUTs have behind it, fresh says that the address may not be there yet for a moment, closes that the server
// is told once more when all is there already. tell(percent, text, more) hears how far it is, trouble(message) what is tried again.
export class Carrying {
  #held = false;
  #abort = () => {};
  constructor(file, { url, query = "", fresh = false, closes = false, tell, trouble }) { Object.assign(this, { file, url, query, closes, tell, trouble, passing: [409, 502, 503, 504, ...fresh ? [404] : []] }); }

  // run carries until all is there, which is true, or until hold is called, which is false; then run goes on. It rejects when the server refuses.
  async run() {
    this.#held = false;
    for (let tries = 0; !this.#held;) {
      try {
        let at = await this.#stands();
        const first = at, began = performance.now();
        this.#show(at, first, began);
        if (at === this.file.size && this.closes) await this.#send(at, at, () => {});
        while (at < this.file.size && !this.#held) {
          at = await this.#send(at, Math.min(at + PART, this.file.size), (now) => this.#show(now, first, began));
          tries = 0;
        }
        if (at >= this.file.size) return true;
      } catch (e) {
        if (this.#held) break;
        if (e instanceof Refused && (!this.passing.includes(e.status) || tries > PATIENCE)) throw e;
        tries++;
        this.trouble(`${e.message} It is tried again.`);
        await new Promise((ok) => setTimeout(ok, Math.min(500 * 2 ** tries, AT_MOST)));
      }
    }
    return false;
  }

  hold() { this.#held = true; this.#abort(); }

  // stands asks how far the server is; nothing under way is the start.
  async #stands() {
    const answer = await fetch(this.url, { method: "HEAD", cache: "no-store" });
    if (!answer.ok) throw new Refused(`The server answered ${answer.status}.`, answer.status);
    const at = Number(answer.headers.get("Upload-Offset") ?? 0), length = answer.headers.get("Upload-Length");
    if (length !== null && Number(length) !== this.file.size) throw new Refused(`Another file, of ${size(Number(length))}, is being uploaded there. Go on with that, or cancel its task.`);
    if (at > this.file.size) throw new Refused(`${size(at)} are there already, which is more than this file has: it is another file.`);
    return at;
  }

  #show(at, first, began) {
    const s = (performance.now() - began) / 1000, rate = s > 1 ? (at - first) / s : 0;
    this.tell(at * 100 / this.file.size, `${size(at)} of ${size(this.file.size)}`, rate > 0 ? `${size(rate)}/s${at < this.file.size ? `, ${span((this.file.size - at) / rate)} left` : ""}` : "");
  }

  // send brings one part and gives how far the server is then.
  #send(from, to, progress) {
    return new Promise((done, failed) => {
      const x = new XMLHttpRequest();
      this.#abort = () => x.abort();
      x.open("PUT", this.url + this.query);
      x.setRequestHeader("Content-Type", "application/octet-stream");
      x.setRequestHeader("Content-Range", `bytes ${to > from ? `${from}-${to - 1}` : "*"}/${this.file.size}`);
      x.setRequestHeader("Accept", "application/problem+json");
      x.upload.onprogress = (e) => progress(from + e.loaded);
      x.onload = () => x.status < 300 ? done(Number(x.getResponseHeader("Upload-Offset"))) : failed(refusal(x.status, x.responseText));
      x.onerror = x.onabort = x.ontimeout = () => failed(new Error("The connection broke off."));
      x.send(this.file.slice(from, to));
    });
  }
}

// guard asks before a page with an upload under way is left; it gives the function that takes that back.
export function guard() {
  const stay = (e) => e.preventDefault();
  addEventListener("beforeunload", stay);
  return () => removeEventListener("beforeunload", stay);
}
