// Plays the frames of an EM run in an SVG. Data come from a JSON block beside the picture; nothing is fetched.
"use strict";
for (const player of document.querySelectorAll(".player")) {
  const data = JSON.parse(player.querySelector("script").textContent);
  const svg = player.querySelector("svg");
  const [width, height, margin] = [640, 460, { left: 64, right: 12, top: 10, bottom: 46 }];
  const [low, high] = data.box;
  const x = (v) => margin.left + ((v - low[0]) / (high[0] - low[0])) * (width - margin.left - margin.right);
  const y = (v) => height - margin.bottom - ((v - low[1]) / (high[1] - low[1])) * (height - margin.top - margin.bottom);
  const place = ([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`;
  const shades = Uint8Array.from(atob(data.shades), (c) => c.charCodeAt(0));
  const rows = data.points.length;

  const add = (parent, name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.appendChild(node);
    return node;
  };

  const axis = (ticks, at, attributes) => {
    for (const tick of ticks) {
      const [line, label] = at(tick);
      add(svg, "line", { ...line, class: "tick" });
      add(svg, "text", { ...label, ...attributes, class: "label" }, String(tick));
    }
  };
  const floor = height - margin.bottom;
  add(svg, "path", { d: `M${margin.left},${margin.top}V${floor}H${width - margin.right}`, class: "axis" });
  axis(data.ticks[0], (t) => [{ x1: x(t), x2: x(t), y1: floor, y2: floor + 5 }, { x: x(t), y: floor + 18 }], { "text-anchor": "middle" });
  axis(data.ticks[1], (t) => [{ x1: margin.left - 5, x2: margin.left, y1: y(t), y2: y(t) }, { x: margin.left - 8, y: y(t) + 4 }], { "text-anchor": "end" });
  add(svg, "text", { x: (margin.left + width) / 2, y: height - 8, "text-anchor": "middle", class: "title" }, data.names[0]);
  add(svg, "text", { x: 14, y: height / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${height / 2})`, class: "title" }, data.names[1]);

  const radius = Math.max(1.4, Math.min(3.4, 60 / Math.sqrt(rows)));
  const clip = `clip-${Math.random().toString(36).slice(2)}`;
  const area = add(add(svg, "clipPath", { id: clip }), "rect", { x: margin.left, y: margin.top, width: width - margin.left - margin.right, height: floor - margin.top });
  area.setAttribute("class", "area");
  const inside = add(svg, "g", { "clip-path": `url(#${clip})` });
  const dots = data.points.map(([a, b]) => add(inside, "circle", { cx: x(a).toFixed(1), cy: y(b).toFixed(1), r: radius, "fill-opacity": 0.75 }));
  const outlines = data.lines[0].map((_, k) => add(inside, "polyline", { fill: "none", stroke: data.colours[k], "stroke-width": 2 }));
  const paths = data.centres[0].map((_, k) => add(inside, "polyline", { fill: "none", stroke: data.colours[k], "stroke-opacity": 0.7 }));
  const means = data.centres[0].map((_, k) => add(inside, "circle", { r: 6, fill: data.colours[k], class: "mean" }));

  const slider = player.querySelector("input");
  const status = player.querySelector("output");
  const [play, back, on] = ["play", "back", "on"].map((name) => player.querySelector(`button.${name}`));
  const last = data.passes.length - 1;
  slider.max = last;
  let frame = 0;
  let timer = null;

  const show = (i) => {
    frame = Math.max(0, Math.min(last, i));
    for (let j = 0; j < rows; j += 1) {
      const at = 3 * (frame * rows + j);
      dots[j].setAttribute("fill", `rgb(${shades[at]},${shades[at + 1]},${shades[at + 2]})`);
    }
    outlines.forEach((line, k) => line.setAttribute("points", data.lines[frame][k].map(place).join(" ")));
    paths.forEach((line, k) => line.setAttribute("points", data.centres.slice(0, frame + 1).map((c) => place(c[k])).join(" ")));
    means.forEach((dot, k) => {
      const [a, b] = data.centres[frame][k];
      dot.setAttribute("cx", x(a).toFixed(1));
      dot.setAttribute("cy", y(b).toFixed(1));
    });
    slider.value = frame;
    status.textContent = `pass ${data.passes[frame]}, objective ${data.objective[frame].toFixed(4)}${frame === last ? `: ${data.ending}` : ""}`;
    player.dataset.frame = frame;
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  const start = () => {
    if (frame === last) show(0);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => (frame === last ? stop() : show(frame + 1)), 1000 / 6);
  };
  play.addEventListener("click", () => (timer === null ? start() : stop()));
  back.addEventListener("click", () => { stop(); show(frame - 1); });
  on.addEventListener("click", () => { stop(); show(frame + 1); });
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  show(0);
}
