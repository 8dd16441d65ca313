// Sends a file to an address in parts of one whole: PUT with Content-Range, HEAD says in Upload-Offset how much is there. What came in stays, so a connection that
// breaks, a pause or a new page go on where it was. The element with data-upload holds the address; data-upload-done, if any, the page to go to at the end.
const size = (n) => { const u = ["B", "KiB", "MiB", "GiB", "TiB"]; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${i ? n.toFixed(n < 10 ? 1 : 0) : n} ${u[i]}`; };
const wait = (ms) => new Promise((ok) => setTimeout(ok, ms));
const tries = 8;

class Refused extends Error {}

async function offset(url) {
  const r = await fetch(url, { method: "HEAD", cache: "no-store" });
  if (!r.ok) throw new Refused(`The server answered ${r.status}.`);
  return Number(r.headers.get("Upload-Offset") || 0);
}

// send puts the file from a byte on; it answers true when the server has all of it.
function send(url, file, from, tell, control) {
  return new Promise((ok, fail) => {
    const x = new XMLHttpRequest();
    control.abort = () => x.abort();
    x.open("PUT", url);
    x.setRequestHeader("Content-Type", "application/octet-stream");
    x.setRequestHeader("Content-Range", `bytes ${from}-${file.size - 1}/${file.size}`);
    x.setRequestHeader("Accept", "application/json");
    x.upload.onprogress = (e) => tell(from + e.loaded);
    x.onabort = () => ok(false);
    x.onerror = () => fail(new Error("The connection broke."));
    x.onload = () => {
      if (x.status < 300) return ok(true);
      let says = "";
      try { const p = JSON.parse(x.responseText); says = [p.detail || p.title, p.fix].filter(Boolean).join(" "); } catch { /* not ours: a proxy's page */ }
      fail(x.status === 503 || x.status === 502 || x.status === 504 ? new Error(says || "The connection broke.") : new Refused(says || `The server answered ${x.status}.`));
    };
    x.send(file.slice(from));
  });
}

function wire(box) {
  const [input, go, stop, bar, says] = ["input[type=file]", "[data-upload-go]", "[data-upload-stop]", "[data-upload-bar]", "[data-upload-says]"].map((s) => box.querySelector(s));
  const url = box.dataset.upload;
  const control = { on: false, abort() {} };
  const leave = (e) => e.preventDefault();
  const say = (text, bad = false) => { says.textContent = text; says.className = bad ? "bad-text" : "muted"; };
  const running = (on) => { control.on = on; go.hidden = on; stop.hidden = !on; input.disabled = on; bar.hidden = !on && !bar.value; (on ? addEventListener : removeEventListener)("beforeunload", leave); };
  input.addEventListener("change", () => { go.disabled = !input.files.length; say(input.files.length ? `${input.files[0].name}, ${size(input.files[0].size)}` : ""); });
  stop.addEventListener("click", () => { control.on = false; control.abort(); });
  go.addEventListener("click", async () => {
    const file = input.files[0];
    if (!file) return;
    if (!file.size) return say("The file is empty.", true);
    running(true);
    for (let left = tries; control.on;) {
      try {
        const from = await offset(url);
        if (from > file.size) throw new Refused("More is there than this file has: it is another file.");
        let began = performance.now(), last = 0;
        const tell = (at) => {
          left = tries;
          bar.value = file.size ? at * 100 / file.size : 100;
          const now = performance.now();
          if (now - last < 200 && at < file.size) return;
          last = now;
          const rate = (at - from) / Math.max(0.1, (now - began) / 1000);
          say(`${size(at)} of ${size(file.size)}, ${size(rate)}/s${rate > 0 && at < file.size ? `, about ${Math.ceil((file.size - at) / rate)} s to go` : ""}`);
        };
        tell(from);
        if (await send(url, file, from, tell, control)) {
          running(false);
          say("All of it is there; it is being checked.");
          return location.assign(box.dataset.uploadDone || location.href);
        }
      } catch (e) {
        if (e instanceof Refused || --left <= 0) { running(false); return say(`${e.message} ${e instanceof Refused ? "" : "Press Upload to go on."}`, true); }
        say(`${e.message} It goes on in a moment …`, true);
        await wait(1000 * Math.min(8, 2 ** (tries - left - 1)));
      }
    }
    running(false);
    say("Paused. Press Upload to go on.");
  });
}

for (const box of document.querySelectorAll("[data-upload]")) wire(box);
