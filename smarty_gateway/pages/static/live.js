// Keeps the page up to date while somebody looks at it. Without this script the page shows the moment at
// which it was loaded.
"use strict";
(() => {
  const connection = document.getElementById("connection");
  addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach((found) => { found.open = true; }));
  if (!connection) return;

  const TIMEOUT = 4000; // milliseconds
  const SLOWEST = 30000;
  const LOST_AFTER = 5000;
  const PAGE_EVERY = 60000; // the whole page, for its picture
  const { live, seconds, lost } = connection.dataset;
  const often = 1000 * seconds;
  let timer = 0, asking = null, delay = often, answered = Date.now(), pageAsked = Date.now();

  // Make one element like another, and leave alone what is the same: focus, selection and open details stay.
  function change(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeName === "svg" && old.matches(".smarty-picture")) {
      // charts.js has changed it; what somebody points at stays.
      if (!old.matches(":hover, :focus")) old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const before = [...old.childNodes], after = [...fresh.childNodes];
    after.forEach((node, place) => (place < before.length ? change(before[place], node) : old.append(node)));
    before.slice(after.length).forEach((node) => node.remove());
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const parts = fresh.querySelectorAll("[data-part]");
    for (const part of parts) {
      const old = document.getElementById(part.id);
      if (old) change(old, document.adoptNode(part));
    }
    return parts.length > 0;
  }

  function say(isLost) {
    const text = isLost ? lost : "";
    if (connection.textContent !== text) connection.textContent = text;
    document.body.classList.toggle("is-lost", isLost);
  }

  const isOld = () => Date.now() - answered > LOST_AFTER;

  async function ask() {
    const isPage = !live || Date.now() - pageAsked > PAGE_EVERY;
    const mine = (asking = new AbortController());
    const limit = setTimeout(() => mine.abort(), TIMEOUT);
    let text = null;
    try {
      const answer = await fetch(isPage ? location.href : live, { signal: mine.signal, cache: "no-store" });
      if (answer.ok) text = await answer.text();
    } catch {
      // No answer, or none in time.
    }
    clearTimeout(limit);
    if (mine !== asking) return;
    if (text !== null && show(text)) {
      answered = Date.now();
      if (isPage) pageAsked = answered;
      delay = often;
    } else {
      delay = Math.min(2 * delay, SLOWEST);
    }
    say(isOld());
    timer = setTimeout(ask, delay);
  }

  function stop() {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
  }

  function begin() {
    stop();
    if (document.hidden) return;
    delay = often;
    document.body.classList.toggle("is-lost", isOld());
    ask();
  }

  document.addEventListener("visibilitychange", begin);
  addEventListener("pageshow", (event) => { if (event.persisted) begin(); });
  addEventListener("pagehide", stop);
  addEventListener("online", begin);
  timer = setTimeout(begin, often);
})();
