// Draws charts from the numbers that stand in the page (data-plot), and goes on with what the stream brings. Nothing is asked for here.
import { toast } from "./app.js";

const uPlot = window.uPlot;
const root = document.documentElement;
const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

// A token such as light-dark(…) is only resolved where it is used as a colour.
const probe = document.body.appendChild(document.createElement("i"));
probe.hidden = true;
const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };

// ---- Numbers with units, as the server writes them (views/charts).
const short = (v) => {
  const a = Math.abs(v);
  if (a === 0) return "0";
  if (a >= 1e9) return (v / 1e9).toFixed(1) + " G";
  if (a >= 1e6) return (v / 1e6).toFixed(1) + " M";
  if (a >= 1e4) return (v / 1e3).toFixed(1) + " k";
  if (a >= 100) return v.toFixed(0);
  if (a >= 10) return v.toFixed(1);
  return a < 0.01 ? v.toPrecision(2) : v.toFixed(2);
};
const digits = (v) => { const a = Math.abs(v); return a >= 100 ? v.toFixed(0) : a >= 10 ? v.toFixed(1) : v.toFixed(2); };
const bytes = (v) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  while (Math.abs(v) >= 1024 && i < units.length - 1) { v /= 1024; i++; }
  return (i ? digits(v) : v.toFixed(0)) + " " + units[i];
};
const seconds = (v) => { const a = Math.abs(v); return a === 0 ? "0 s" : a < 1e-3 ? (v * 1e6).toFixed(0) + " µs" : a < 1 ? digits(v * 1e3) + " ms" : digits(v) + " s"; };
const amount = (unit) => (v) => v == null ? "–" : unit === "percent" ? short(v) + " %" : unit === "bytes" ? bytes(v) : unit === "bytes/s" ? bytes(v) + "/s"
  : unit === "seconds" ? seconds(v) : unit === "per second" ? short(v) + "/s" : short(v);
const trim = (s) => s.replace(/\.0+(?=\D|$)/, "").replace(/(\.\d*?)0+(?=\D|$)/, "$1");

// Steps of an axis that are round in what is written there: 256 MiB, not 200 million.
const binary = [...Array(60).keys()].map((i) => 2 ** i);
const day = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const whenFull = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", ...day, second: "2-digit" });
const whenDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const whenTime = new Intl.DateTimeFormat("en-GB", day);

const plots = new Map(); // element -> { d, u }
const paged = document.querySelector("[data-charts]");
const marks = JSON.parse(paged?.dataset.marks || "[]");

// ticks writes times: the day where it changes, else the time of day.
function ticks(_, splits) {
  let last = "";
  return splits.map((t) => {
    const at = new Date(t * 1000), on = whenDay.format(at), first = last !== "" && on !== last || at.getHours() + at.getMinutes() === 0;
    last = on;
    return first ? on : whenTime.format(at);
  });
}

// stacked adds areas up, the first lowest; where nothing is known there is a hole.
function stacked(lines) {
  const sum = [];
  return lines.map((l) => l.v.map((v, i) => v == null ? null : (sum[i] = (sum[i] || 0) + v)));
}

function drawMarks(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const m of marks) {
    if (m.t < u.scales.x.min || m.t > u.scales.x.max) continue;
    const x = Math.round(u.valToPos(m.t, "x", true));
    ctx.strokeStyle = ctx.fillStyle = colour(m.c === "bad" ? "--bad-dot" : "--muted");
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 4 * devicePixelRatio, bbox.top);
    ctx.lineTo(x + 4 * devicePixelRatio, bbox.top);
    ctx.lineTo(x, bbox.top + 6 * devicePixelRatio);
    ctx.fill();
  }
  ctx.restore();
}

// nearMark says what happened where the pointer is.
function nearMark(u, el) {
  const { left } = u.cursor;
  const near = left < 0 ? null : marks.find((m) => Math.abs(u.valToPos(m.t, "x") - left) < 6);
  let note = el.querySelector(".plot-mark");
  if (!near) return void note?.remove();
  note ||= el.appendChild(Object.assign(document.createElement("div"), { className: "plot-mark" }));
  note.textContent = `${whenTime.format(new Date(near.t * 1000))}  ${near.x}`;
}

function draw(el) {
  let p = plots.get(el);
  if (!p) plots.set(el, p = { d: JSON.parse(el.dataset.plot) });
  const { d } = p;
  p.u?.destroy();
  p.u = null;
  if (!d.lines.length) return;
  const lines = d.lines, area = d.kind === "area", fmt = amount(d.unit), hidden = p.off || new Set();
  const isBytes = d.unit.startsWith("bytes");
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px Inter, system-ui, sans-serif" };
  const series = lines.map((l, i) => {
    const stroke = colour(`--c${i % 8}`);
    return {
      label: l.n, stroke, width: 1.6, show: !hidden.has(l.n), spanGaps: false, dash: i > 3 && !area ? [6, 3] : undefined, points: { show: lines.length < 6 && d.t.length < 3 },
      fill: area ? stroke.replace(")", " / .35)").replace("rgb(", "rgb(").replaceAll(",", "") : lines.length === 1 && d.kind !== "bar" ? stroke.replace(")", " / .12)").replaceAll(",", "") : undefined,
      paths: d.kind === "bar" ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
      value: (u, v, s, at) => fmt(at == null ? lines[i].v.findLast((x) => x != null) : lines[i].v[at]),
    };
  });
  const values = area ? stacked(lines) : lines.map((l) => l.v);
  const bands = area ? lines.slice(1).map((_, i) => ({ series: [i + 2, i + 1] })) : undefined;
  p.u = new uPlot({
    width: Math.max(el.clientWidth - 16, 200), height: el.closest(".wide") ? 240 : 178, padding: [10, 10, 0, 0],
    cursor: { sync: { key: "novacron", setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    scales: { x: { time: true, range: () => [d.from, d.to] }, y: { range: (u, lo, hi) => [Math.min(0, lo ?? 0), hi > 0 ? hi * 1.08 : lo < 0 ? 0 : 1] } },
    axes: [
      { ...axis, values: ticks, space: 64, size: 26 },
      { ...axis, size: isBytes ? 74 : 62, incrs: isBytes ? binary : undefined, values: (u, at) => at.map((v) => trim(fmt(v))) },
    ],
    series: [{ label: "", value: (u, t) => t == null ? "newest" : whenFull.format(new Date(t * 1000)) }, ...series],
    bands,
    hooks: {
      draw: [drawMarks], setCursor: [(u) => nearMark(u, el)],
      setSeries: [(u, i) => { if (i) { p.off = new Set(u.series.slice(1).filter((s) => !s.show).map((s) => s.label)); } }],
      setSelect: [(u) => {
        if (u.select.width < 8) return;
        const to = new URL(location.href);
        to.searchParams.delete("range");
        to.searchParams.set("from", Math.round(u.posToVal(u.select.left, "x")));
        to.searchParams.set("to", Math.round(u.posToVal(u.select.left + u.select.width, "x")));
        location.assign(to);
      }],
    },
  }, [d.t, ...values], el);
  // The legend is for eyes and mouse; the table below says the same to others.
  el.querySelector(".u-legend")?.setAttribute("aria-hidden", "true");
  document.querySelector("[data-none]")?.remove();
}

const drawAll = () => { for (const el of $$("[data-plot]")) draw(el); };
const sizes = new ResizeObserver((list) => { for (const { target } of list) { const p = plots.get(target); if (p?.u && Math.abs(p.u.width - target.clientWidth + 16) > 2) p.u.setSize({ width: Math.max(target.clientWidth - 16, 200), height: p.u.height }); } });
export function show(from = document) { for (const el of $$("[data-plot]", from)) { draw(el); sizes.observe(el); } }
document.fonts.ready.then(() => show());

// ---- What the stream brings: the points of the step that is over.
function append({ t, of }) {
  for (const [el, p] of plots) {
    const { d } = p;
    const news = of?.[d.id];
    if (!d.live || !el.isConnected || !t || d.t.length && t < d.t.at(-1)) continue;
    if (t !== d.t.at(-1)) {
      d.t.push(t);
      for (const l of d.lines) l.v.push(null);
      const span = d.to - d.from;
      [d.from, d.to] = [t - span, t];
      while (d.t.length && d.t[0] < d.from) { d.t.shift(); for (const l of d.lines) l.v.shift(); }
    }
    let fresh = false;
    for (const [name, v] of Object.entries(news || {})) {
      let l = d.lines.find((x) => x.n === name);
      if (!l) { l = { n: name, v: d.t.map(() => null) }; d.lines.push(l); fresh = true; }
      l.v[l.v.length - 1] = v;
    }
    if (document.hidden) { p.stale = true; continue; }
    if (fresh || !p.u) draw(el); else p.u.setData([d.t, ...(d.kind === "area" ? stacked(d.lines) : d.lines.map((l) => l.v))]);
  }
}
const points = document.getElementById("chart-points");
if (points) {
  new MutationObserver(() => {
    const at = document.getElementById("chart-points");
    if (at?.value) append(JSON.parse(at.value));
  }).observe(points.parentElement, { attributes: true, childList: true, subtree: true, attributeFilter: ["value"] });
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) for (const [el, p] of plots) if (p.stale) { p.stale = false; draw(el); } });

// ---- Themes: colours are read anew.
new MutationObserver(drawAll).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

// ---- A chart as a picture, with its title and its ground.
addEventListener("click", (e) => {
  const b = e.target.closest?.("[data-chart=png]");
  if (!b) return;
  const box = b.closest(".chart"), el = box.querySelector("[data-plot]"), p = plots.get(el);
  b.closest("details").open = false;
  if (!p?.u) return toast("info", "There is nothing to draw yet.");
  const from = p.u.ctx.canvas, k = devicePixelRatio, head = 34 * k, rows = p.d.lines.length, foot = (Math.ceil(rows / 3) * 17 + 8) * k;
  const to = Object.assign(document.createElement("canvas"), { width: from.width, height: from.height + head + foot });
  const c = to.getContext("2d");
  c.fillStyle = colour("--surface");
  c.fillRect(0, 0, to.width, to.height);
  c.fillStyle = colour("--text");
  c.font = `600 ${14 * k}px Inter, sans-serif`;
  c.fillText(p.d.title, 12 * k, 22 * k);
  c.drawImage(from, 0, head);
  c.font = `${11 * k}px Inter, sans-serif`;
  p.d.lines.forEach((l, i) => {
    const x = 12 * k + (i % 3) * (to.width - 24 * k) / 3, y = head + from.height + (Math.floor(i / 3) * 17 + 12) * k;
    c.fillStyle = colour(`--c${i % 8}`);
    c.fillRect(x, y - 5 * k, 12 * k, 2.5 * k);
    c.fillStyle = colour("--text");
    c.fillText(l.n, x + 18 * k, y);
  });
  to.toBlob((blob) => {
    const a = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: p.d.title.replace(/[^\w-]+/g, "-").toLowerCase() + ".png" });
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 1000);
  });
});
