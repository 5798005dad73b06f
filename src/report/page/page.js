"use strict";
// Draws the charts of the page from the numbers in #data, and makes its tables sortable. Every
// number was computed by rtg; only positions on the screen are computed here.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const memory = recall();
const charts = [];

/** What the reader chose, kept over the reloads of a report that is being rewritten. */
function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("rtg-report")) || {};
  } catch {
    return {};
  }
}

function remember(key, value) {
  memory[key] = value;
  try {
    sessionStorage.setItem("rtg-report", JSON.stringify(memory));
  } catch {
    // The page also works without storage.
  }
}

const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const seriesColour = (index) => colour(`--c${index % 8}`);
const withAlpha = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
const DASHES = [[], [8, 4], [2, 4], [10, 3, 2, 3]];

function shortNumber(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)}M`.replace("-", "−");
  if (size >= 1e5) return `${+(value / 1e3).toPrecision(4)}k`.replace("-", "−");
  if (size > 0 && size < 1e-3) return value.toExponential(2).replace(/-/g, "−");
  return String(+value.toPrecision(5)).replace("-", "−");
}

/** A chart with its legend: hover reads values, a drag zooms, a chip shows or hides a series. */
class Chart {
  constructor(host, id) {
    this.id = id;
    this.plotHost = element("div", { class: "plot" });
    this.at = element("span", { class: "at" });
    this.reset = element("button", { type: "button", hidden: "" }, "whole range");
    this.save = element("button", { type: "button", title: "Save as PNG" }, "PNG");
    this.legend = element("div", { class: "legend" });
    host.append(this.plotHost, element("div", { class: "bar" }, this.at, this.reset, this.save),
      this.legend);
    this.reset.onclick = () => this.zoom(null);
    this.save.onclick = () => this.download();
    new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.plotHost);
    charts.push(this);
  }

  size() {
    return { width: Math.max(240, this.plotHost.clientWidth), height: 300 };
  }

  /** content: { series, unit, log, diagonal, shaded, points }; a series has x, y and maybe low, high, runs. */
  show(content) {
    this.content = content;
    this.hidden = new Set((memory.hidden || {})[this.id] ||
      content.series.filter((series) => !series.shown).map((series) => series.label));
    this.draw();
  }

  draw() {
    if (this.plot) this.plot.destroy();
    this.plot = null;
    this.plotHost.textContent = "";
    this.legend.textContent = "";
    this.at.textContent = "";
    const { content } = this;
    const drawn = content.series.filter((series) => series.y.length);
    this.save.hidden = !drawn.length;
    if (!drawn.length) {
      this.plotHost.append(element("p", { class: "nothing" }, "no data yet"));
      return;
    }
    const positive = (values) => content.log ? values.map((v) => (v > 0 ? v : null)) : values;
    const joined = uPlot.join(drawn.map((series) => [
      series.x, positive(series.y),
      ...(series.low ? [positive(series.low), positive(series.high)] : []),
    ]));
    const options = [{}];
    const bands = [];
    this.entries = drawn.map((series) => this.entry(series, options, bands));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 } };
    const values = (_, ticks) => ticks.map((tick) => (tick === null ? "" : shortNumber(tick)));
    this.plot = new uPlot({
      ...this.size(),
      series: options,
      bands,
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: false }, y: content.log ? { distr: 3 } : { range: content.range } },
      axes: [
        { ...axis, values, label: content.unit, labelSize: 20, labelFont: "12px system-ui" },
        { ...axis, values, size: 62 },
      ],
      hooks: {
        setCursor: [() => this.read()],
        setScale: [(plot, key) => key === "x" && this.zoomed(plot)],
        drawClear: [(plot) => {
          if (content.shaded) this.shade(plot);
          if (content.diagonal) this.diagonal(plot);
        }],
      },
    }, joined, this.plotHost);
    const zoom = (memory.zoom || {})[this.id];
    if (zoom) this.plot.setScale("x", zoom);
  }

  entry(series, options, bands) {
    const stroke = seriesColour(series.colour);
    const show = !this.hidden.has(series.label);
    const first = options.length;
    const dash = DASHES[series.dash % DASHES.length];
    options.push({ label: series.label, show, stroke, width: 2, dash, spanGaps: true,
      paths: this.content.stepped ? uPlot.paths.stepped({ align: -1 }) : undefined,
      points: { show: this.content.points || series.y.length < 3, size: 7, fill: stroke } });
    if (series.low) {
      const edge = { show, stroke: "transparent", width: 0, spanGaps: true,
        paths: options[first].paths, points: { show: false } };
      options.push({ ...edge, label: "low" }, { ...edge, label: "high" });
      bands.push({ series: [first + 2, first + 1], fill: withAlpha(stroke, 0.16) });
    }
    const output = element("output");
    const swatch = element("i");
    swatch.style.borderTopColor = stroke;
    swatch.style.borderTopStyle = dash.length ? "dashed" : "solid";
    const chip = element("button", { type: "button", class: "chip", "aria-pressed": String(show) },
      swatch, series.label, output);
    chip.onclick = () => this.toggle(series.label);
    this.legend.append(chip);
    return { series, first, count: series.low ? 3 : 1, chip, output };
  }

  toggle(label) {
    if (!this.hidden.delete(label)) this.hidden.add(label);
    remember("hidden", { ...memory.hidden, [this.id]: [...this.hidden] });
    const { first, count, chip } = this.entries.find((entry) => entry.series.label === label);
    const show = !this.hidden.has(label);
    chip.setAttribute("aria-pressed", String(show));
    for (let i = first; i < first + count; i++) this.plot.setSeries(i, { show });
  }

  /** Writes the values under the cursor into the legend: each series' latest point up to there. */
  read() {
    const at = this.plot.cursor.idx;
    const x = at === null || at === undefined ? null : this.plot.data[0][at];
    this.at.textContent = x === null ? "" : `${shortNumber(x)} ${this.content.unit}`;
    for (const { series, output } of this.entries) {
      let i = -1;
      while (x !== null && i + 1 < series.x.length && series.x[i + 1] <= x) i++;
      output.textContent = i < 0 ? "" : this.valueText(series, i);
    }
  }

  valueText(series, i) {
    const band = series.low && series.low[i] !== null
      ? ` [${shortNumber(series.low[i])}, ${shortNumber(series.high[i])}]` : "";
    return shortNumber(series.y[i]) + band;
  }

  zoom(range) {
    remember("zoom", { ...memory.zoom, [this.id]: range });
    const x = this.plot.data[0];
    this.plot.setScale("x", range || { min: x[0], max: x[x.length - 1] });
  }

  zoomed(plot) {
    const x = plot.data[0];
    const { min, max } = plot.scales.x;
    const whole = min <= x[0] && max >= x[x.length - 1];
    this.reset.hidden = whole;
    remember("zoom", { ...memory.zoom, [this.id]: whole ? null : { min, max } });
  }

  /** A band between two places on the horizontal axis. */
  shade(plot) {
    const { ctx, bbox } = plot;
    const [left, right] = this.content.shaded.map((value) => {
      const place = plot.valToPos(value, "x", true);
      return Math.min(Math.max(place, bbox.left), bbox.left + bbox.width);
    });
    ctx.save();
    ctx.fillStyle = withAlpha(colour("--soft"), 0.1);
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.restore();
  }

  /** The line where achieved and target returns are equal. */
  diagonal(plot) {
    const { ctx, bbox } = plot;
    const { min, max } = plot.scales.x;
    const place = (value) => [plot.valToPos(value, "x", true), plot.valToPos(value, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.strokeStyle = colour("--soft");
    ctx.setLineDash([2, 6]);
    ctx.beginPath();
    ctx.moveTo(...place(min));
    ctx.lineTo(...place(max));
    ctx.stroke();
    ctx.restore();
  }

  download() {
    const source = this.plot.ctx.canvas;
    const copy = element("canvas", { width: source.width, height: source.height });
    const ctx = copy.getContext("2d");
    ctx.fillStyle = colour("--paper");
    ctx.fillRect(0, 0, copy.width, copy.height);
    ctx.drawImage(source, 0, 0);
    element("a", { href: copy.toDataURL("image/png"), download: `${this.id}.png` }).click();
  }
}

/** A series with the places on the horizontal axis that it shares with others. */
const unpacked = (series) => ({ ...series, x: data.xs[series.x] });

function curves() {
  const host = document.getElementById("curves");
  const [metric, axis, log] = ["metric", "axis", "log"].map((id) => document.getElementById(id));
  if (!host) return;
  const names = (list) => [...new Set(list)];
  const options = (select, values, chosen) => {
    select.replaceChildren(...values.map((value) => element("option", {}, value)));
    if (values.includes(chosen)) select.value = chosen;
  };
  options(metric, names(data.tasks.flatMap((task) => task.metrics.map((m) => m.name))),
    memory.metric);
  const drawn = data.tasks.map((task, index) => {
    const figure = element("figure", {}, element("h3", {}, task.name));
    host.append(figure);
    return [task, new Chart(figure, `curves-${index + 1}`)];
  });
  const show = () => {
    const found = (task) => task.metrics.find((m) => m.name === metric.value);
    options(axis, names(data.tasks.flatMap((task) => (found(task)?.axes || []).map((a) => a.name))),
      axis.value || memory.axis);
    for (const [task, chart] of drawn) {
      const axes = found(task)?.axes || [];
      const series = axes.find((a) => a.name === axis.value)?.series || [];
      chart.show({ series: series.map(unpacked), unit: axis.value, log: log.checked });
    }
    remember("metric", metric.value);
    remember("axis", axis.value);
    remember("log", log.checked);
  };
  log.checked = Boolean(memory.log);
  for (const control of [metric, axis, log]) {
    control.onchange = () => {
      // Another axis has other numbers.
      if (control === axis) remember("zoom", {});
      show();
    };
  }
  show();
}

function profile() {
  const host = document.getElementById("profile");
  if (!host || !data.profile) return;
  const { unit, series } = data.profile;
  new Chart(host, "profile")
    .show({ series: series.map(unpacked), unit, stepped: true, range: [0, 1.02] });
}

function calibration() {
  const host = document.getElementById("calibration");
  if (!host) return;
  for (const [index, { name, range, series }] of data.calibration.entries()) {
    const figure = element("figure", {}, element("h3", {}, name));
    host.append(figure);
    new Chart(figure, `calibration-${index + 1}`)
      .show({ series: series.map(unpacked), unit: "target", diagonal: true, points: true,
        shaded: range });
  }
}

/** P(X > Y) of one method against each other one, as dots with intervals. */
function forest() {
  const host = document.getElementById("forest");
  const select = document.getElementById("opponent");
  if (!host || !select) return;
  select.replaceChildren(...data.methods.map((name, i) => element("option", { value: i }, name)));
  const show = () => {
    const rows = data.pairs.filter((pair) => pair.x === +select.value);
    host.replaceChildren(...rows.flatMap(({ y, p, low, high, text }) => {
      const track = element("div", { class: "track", role: "img", "aria-label": text });
      if (low !== null) {
        const bar = element("b");
        bar.style.left = `${100 * low}%`;
        bar.style.width = `${100 * (high - low)}%`;
        track.append(bar);
      }
      const dot = element("u");
      dot.style.left = `${100 * p}%`;
      track.append(dot);
      return [element("span", {}, `> ${data.methods[y]}`), track, element("span", {}, text)];
    }));
  };
  select.onchange = show;
  show();
}

/** A click on a title sorts by that column; numbers by value, what has none last. */
function sortable(table) {
  const titles = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const { v } = row.cells[column].dataset;
    return v === undefined ? row.cells[column].textContent : Number(v);
  };
  const sort = (column, direction) => {
    titles.forEach((title, i) => title.setAttribute("aria-sort", i === column ? direction : "none"));
    const sign = direction === "ascending" ? 1 : -1;
    const order = (a, b) => {
      const [left, right] = [key(a, column), key(b, column)];
      const numeric = [typeof left, typeof right].map((kind) => kind === "number");
      if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
      if (numeric[0]) return sign * (left - right);
      return sign * left.localeCompare(right, undefined, { numeric: true });
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    remember("sort", { ...memory.sort, [table.id]: [column, direction] });
  };
  titles.forEach((title, column) => {
    title.querySelector("button").onclick = () => {
      // Numbers are sorted from the largest first.
      const first = title.classList.contains("number") ? "descending" : "ascending";
      const second = first === "descending" ? "ascending" : "descending";
      sort(column, title.getAttribute("aria-sort") === first ? second : first);
    };
  });
  const before = (memory.sort || {})[table.id];
  if (before && before[0] < titles.length) sort(...before);
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = (name) => {
    root.dataset.theme = name;
    charts.forEach((chart) => chart.content && chart.draw());
  };
  const chosen = () => memory.theme || (dark.matches ? "dark" : "light");
  root.dataset.theme = chosen();
  dark.onchange = () => apply(chosen());
  document.getElementById("theme").onclick = () => {
    remember("theme", root.dataset.theme === "dark" ? "light" : "dark");
    apply(chosen());
  };
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", () => apply(chosen()));
}

function copyable() {
  document.addEventListener("click", async ({ target }) => {
    if (!target.classList.contains("copy")) return;
    const text = target.previousElementSibling.textContent;
    try {
      await navigator.clipboard.writeText(text);
      target.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(target.previousElementSibling);
    }
  });
}

theme();
curves();
profile();
calibration();
forest();
document.querySelectorAll("table").forEach(sortable);
copyable();
// Unfold everything for printing.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
if (memory.scroll) scrollTo(0, memory.scroll);
addEventListener("pagehide", () => remember("scroll", scrollY));
window.rtgReport = { charts, data };
