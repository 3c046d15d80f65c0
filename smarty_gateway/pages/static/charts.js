// Tooltips of the pictures by mouse, finger and keyboard. Each span of time is a rect of the picture with its
// text; without this script browsers show the texts to a mouse.
"use strict";
{
  const MARGIN = 6; // pixels between the tooltip, its picture and the edge of the window
  const tooltip = add("div", "smarty-tooltip");
  const spoken = add("div", "smarty-spoken");
  spoken.setAttribute("role", "status");
  tooltip.setAttribute("aria-hidden", "true"); // what it shows is spoken
  const charts = new WeakMap();
  let shown = null;

  class Chart {
    constructor(svg) {
      this.svg = svg;
      this.index = -1;
      this.spans = [...svg.querySelectorAll(".spans rect")].map((rect) => {
        const title = rect.querySelector("title");
        title.remove();
        return { rect, lines: title.textContent.split("\n") };
      });
      const name = svg.querySelector(":scope > title");
      svg.setAttribute("aria-label", name.textContent);
      name.remove();
      // Screen readers leave the arrow keys to an application.
      svg.setAttribute("role", "application");
      svg.setAttribute("tabindex", "0");
      svg.addEventListener("pointerdown", (event) => this.point(event));
      svg.addEventListener("pointermove", (event) => this.point(event));
      // A finger that is lifted leaves, too, and people read on.
      svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
      svg.addEventListener("blur", hide);
      svg.addEventListener("keydown", (event) => this.press(event));
    }

    point(event) {
      const distances = this.spans.map(({ rect }) => {
        const box = rect.getBoundingClientRect();
        return Math.max(box.left - event.clientX, event.clientX - box.right, 0);
      });
      this.show(distances.indexOf(Math.min(...distances)));
    }

    press(event) {
      const last = this.spans.length - 1;
      const places = {
        ArrowLeft: this.index < 0 ? last : Math.max(this.index - 1, 0),
        ArrowRight: Math.min(this.index + 1, last),
        Home: 0,
        End: last,
      };
      if (!Object.hasOwn(places, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.show(places[event.key]);
      spoken.textContent = this.spans[this.index].lines.join(", ");
    }

    show(index) {
      if (shown === this && index === this.index) return;
      hide();
      shown = this;
      this.index = index;
      const { rect, lines } = this.spans[index];
      rect.classList.add("pointed");
      tooltip.replaceChildren(...lines.map((line, number) => element(number ? "div" : "strong", line)));
      tooltip.classList.add("shown");
      place(rect.getBoundingClientRect());
    }
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  function add(name, className) {
    const made = element(name, "");
    made.className = className;
    document.body.append(made);
    return made;
  }

  // Above the span where there is space, else below it.
  function place(span) {
    const { width, height } = tooltip.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const left = (span.left + span.right - width) / 2;
    const above = span.top - MARGIN - height;
    const top = above >= MARGIN ? above : span.bottom + MARGIN;
    const inside = (value, end) => `${Math.max(MARGIN, Math.min(value, end - MARGIN))}px`;
    tooltip.style.setProperty("left", inside(left, clientWidth - width));
    tooltip.style.setProperty("top", inside(top, clientHeight - height));
  }

  function hide() {
    if (shown === null) return;
    shown.spans[shown.index].rect.classList.remove("pointed");
    tooltip.classList.remove("shown");
    shown = null;
  }

  // Pictures may be replaced while the page is open.
  function start() {
    if (shown && !shown.svg.isConnected) hide();
    for (const svg of document.querySelectorAll("svg.smarty-picture")) {
      if (charts.has(svg) || !svg.querySelector(".spans rect")) continue;
      charts.set(svg, new Chart(svg));
    }
  }

  start();
  new MutationObserver(start).observe(document.querySelector("main"), { childList: true, subtree: true });
  addEventListener("scroll", hide, { capture: true, passive: true });
  addEventListener("resize", hide);
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("pointerdown", (event) => shown?.svg.contains(event.target) || hide());
}
