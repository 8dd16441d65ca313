// Uploads into volumes: a file goes up in parts, and what was cut off goes on where the server says it stands, by itself after a broken connection, or when
// the same file is chosen again later.
const PART = 32 << 20;
const size = (n) => { const u = ["B", "KiB", "MiB", "GiB", "TiB"]; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${n < 10 && i ? n.toFixed(1) : Math.round(n)} ${u[i]}`; };
const span = (s) => s < 90 ? `${Math.max(1, Math.round(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

class Refused extends Error {}

async function refusal(status, text) {
  let p = {};
  try { p = JSON.parse(text); } catch { /* not ours: the status must do */ }
  const e = new Refused([p.detail || p.title || `The server answered ${status}.`, p.fix].filter(Boolean).join(" "));
  e.status = status;
  return e;
}

// send brings one part. It resolves with the offset that is reached then, and rejects when the connection breaks or the server refuses.
function send(up, from, to) {
  return new Promise((done, failed) => {
    const x = up.xhr = new XMLHttpRequest();
    x.open("PUT", up.url + (up.sha256 ? "?sha256=" + up.sha256 : ""));
    x.setRequestHeader("Content-Range", `bytes ${from}-${to - 1}/${up.file.size}`);
    x.setRequestHeader("Accept", "application/problem+json");
    x.upload.onprogress = (e) => show(up, from + e.loaded);
    x.onload = async () => x.status < 300 ? done(Number(x.getResponseHeader("Upload-Offset"))) : failed(await refusal(x.status, x.responseText));
    x.onerror = x.onabort = x.ontimeout = () => failed(new Error("The connection broke off."));
    x.send(up.file.slice(from, to));
  });
}

// stands asks how far the server is: -1 when nothing is under way.
async function stands(up) {
  const answer = await fetch(up.url, { method: "HEAD", cache: "no-store" });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  const length = answer.headers.get("Upload-Length");
  if (length === null) return -1;
  if (Number(length) !== up.file.size) throw new Refused(`Another file of ${size(Number(length))} is being uploaded into this volume. Go on with that, or cancel its task.`);
  return Number(answer.headers.get("Upload-Offset"));
}

function show(up, at, words) {
  const { state } = up;
  state.hidden = false;
  const seconds = (Date.now() - up.began) / 1000;
  const rate = seconds > 1 ? (at - up.first) / seconds : 0;
  state.querySelector("progress").value = up.file.size ? at * 100 / up.file.size : 0;
  state.querySelector("[data-volume-upload-text]").textContent = words || `${size(at)} of ${size(up.file.size)}`;
  state.querySelector("[data-volume-upload-more]").textContent = !words && rate > 0 ? `${size(rate)}/s, ${span((up.file.size - at) / rate)} left` : "";
}

function tone(up, name) {
  up.state.classList.remove("info", "warn", "bad", "ok");
  up.state.classList.add(name);
}

// kind looks at how the file begins: what a qcow2 image holds is larger than the file.
async function kind(file) {
  const head = new DataView(await file.slice(0, 32).arrayBuffer());
  const whole = Math.ceil(file.size / 512) * 512;
  if (head.byteLength < 32 || head.getUint32(0) !== 0x514649fb) return { format: "raw", bytes: Math.max(whole, 1 << 20) };
  return { format: "qcow2", bytes: Number(head.getBigUint64(24)) };
}

async function create(up, form) {
  const { format, bytes } = await kind(up.file);
  show(up, 0, "Making the volume …");
  const body = new URLSearchParams({ pool: form.elements.pool.value, name: form.elements.name.value || up.file.name, format, size_bytes: bytes, key: form.elements.key.value });
  const answer = await fetch(form.dataset.create, { method: "POST", body, headers: { Accept: "application/json" } });
  const text = await answer.text();
  if (!answer.ok) throw await refusal(answer.status, text);
  return JSON.parse(text).id;
}

// carry brings the rest of the file, whatever breaks on the way. New volumes are not there yet for a moment.
async function carry(up) {
  let at = await stands(up).catch((e) => { if (e instanceof Refused) throw e; return -1; });
  if (at < 0) at = 0;
  up.began = Date.now();
  up.first = at;
  for (let tries = 0; ;) {
    try {
      at = await send(up, at, Math.min(at + PART, up.file.size));
      tries = 0;
      if (at >= up.file.size) return;
    } catch (e) {
      if (up.paused) await new Promise((done) => { up.goOn = done; });
      const wait = e instanceof Refused && (e.status === 409 || e.status === 503 || up.fresh && e.status === 404);
      if (e instanceof Refused && (!wait || tries > 8)) throw e;
      tries++;
      tone(up, "warn");
      show(up, at, `${e.message} It is tried again.`);
      await pause(Math.min(500 * 2 ** tries, 15000));
      const now = await stands(up).catch(() => null);
      if (now !== null && now >= 0) at = now;
      else if (now === -1) at = 0;
      tone(up, "info");
      up.began = Date.now();
      up.first = at;
    }
  }
}

async function start(form) {
  const up = { file: form.elements.file.files[0], state: form.querySelector("[data-volume-upload-state]"), sha256: form.elements.sha256.value.trim().toLowerCase(), began: Date.now(), first: 0 };
  const button = form.querySelector("[type=submit]");
  const hold = form.querySelector("[data-volume-upload-pause]");
  const stay = (e) => e.preventDefault();
  button.disabled = true;
  hold.hidden = false;
  hold.onclick = () => {
    up.paused = !up.paused;
    hold.textContent = up.paused ? "Go on" : "Pause";
    if (up.paused) up.xhr?.abort(); else up.goOn?.();
  };
  addEventListener("beforeunload", stay);
  tone(up, "info");
  try {
    if (!up.file.size) throw new Refused("The file is empty.");
    let id = form.dataset.made;
    if (form.dataset.create && !id) { id = form.dataset.made = await create(up, form); up.fresh = true; }
    up.url = form.dataset.contents.replace("ID", id);
    await carry(up);
    removeEventListener("beforeunload", stay);
    tone(up, "ok");
    show(up, up.file.size, "Everything is there.");
    location.assign(form.dataset.page.replace("ID", id));
  } catch (e) {
    tone(up, "bad");
    show(up, 0, e.message);
    button.disabled = false;
    if (e.status === 422 && form.dataset.create && !up.url) form.elements.name.focus();
  } finally {
    hold.hidden = true;
    removeEventListener("beforeunload", stay);
  }
}

addEventListener("submit", (e) => {
  const form = e.target.closest?.("form[data-volume-upload]");
  if (!form) return;
  e.preventDefault();
  start(form);
});
addEventListener("change", (e) => {
  const form = e.target.closest?.("form[data-create]");
  const file = e.target.files?.[0];
  if (form && file && !form.elements.name.value) form.elements.name.value = file.name.replace(/[^A-Za-z0-9._+-]+/g, "-");
});
