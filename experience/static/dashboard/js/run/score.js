// The scores against what is needed, one line for each critic.

import { set, svg } from "../drawing/svg.js";
import { hasEnded, scores } from "./reading.js";
import { score as written } from "./words.js";

const HEIGHT = 92;
const EDGE = 16;
const MANY = 12; // scores, beyond which only the first and the last are written out

export class Score {
  constructor(page) {
    this.page = page;
    this.home = document.getElementById("score");
    this.critics = page.about.plan.nodes.filter((node) => node.threshold !== undefined);
    this.home.hidden = !this.critics.length;
  }

  draw(state, selected) {
    if (!this.critics.length) return;
    const found = scores(state);
    const key = `${found.map((step) => step.id + step.score)} ${selected?.id} ${this.home.clientWidth} ${hasEnded(state)}`;
    if (key === this.key || !this.home.clientWidth) return;
    this.key = key;
    this.home.replaceChildren(...this.critics.flatMap((critic) => this.#critic(critic, found.filter((step) => step.node === critic.id), state, selected)));
  }

  #critic(critic, found, state, selected) {
    const told = document.createElement("p");
    told.className = "scores";
    const sum = found.length ? summary(found.map((step) => written(step.score))) : hasEnded(state) ? "no score" : "no score yet";
    const name = this.critics.length > 1 ? `${critic.label}: ` : "Score: ";
    told.textContent = `${name}${sum} · ${written(critic.threshold)} needed`;
    return [told, this.#line(critic, found, selected)];
  }

  #line(critic, found, selected) {
    const width = Math.min(this.home.clientWidth, 540);
    const x = (number) => EDGE + (number * (width - 2 * EDGE)) / Math.max(4, found.length - 1);
    const y = (score) => HEIGHT - EDGE - (score * (HEIGHT - 2 * EDGE)) / 10;
    const needed = y(critic.threshold);
    this.size = found.length > MANY ? 2 : 4;
    const points = found.map((step, number) => [x(number), y(step.score), step]);
    return svg(
      "svg",
      { class: "score", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
      svg("path", { class: "ground", d: `M0 ${y(0)}H${width}` }),
      svg("path", { class: "needed", d: `M0 ${needed}H${width}` }),
      svg("polyline", { points: points.map(([left, top]) => `${left},${top}`).join(" ") }),
      svg("text", { x: width, y: needed - 6, "text-anchor": "end" }, `${written(critic.threshold)} needed`),
      ...points.map(([left, top, step]) => this.#point(left, top, step, critic, selected)),
      ...labelled(points).map(([left, top, step]) => svg("text", { x: left, y: top + 18, "text-anchor": "middle" }, written(step.score))),
    );
  }

  #point(x, y, step, critic, selected) {
    const point = svg("circle", { cx: x, cy: y, r: this.size, class: step.score >= critic.threshold ? "enough" : "" });
    if (step.id === selected?.id) set(point, "r", 6);
    point.append(svg("title", {}, `${critic.label}, round ${step.iteration}: ${written(step.score)}`));
    point.addEventListener("click", () => this.page.select(step.id));
    return point;
  }
}

function summary(all) {
  return (all.length > MANY ? [all[0], "…", ...all.slice(-4)] : all).join(" → ");
}

function labelled(points) {
  return points.length > MANY ? [points[0], points.at(-1)] : points;
}
