// Renews the part of a page that has data-live, with what its URL answers. Without this script the pages work too.
"use strict";
(() => {
  // A box that chooses all jobs of a list.
  for (const place of document.querySelectorAll("[data-all]")) {
    const boxes = place.closest("table").querySelectorAll("input[type=checkbox][name=id]");
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Choose all jobs of this page");
    all.addEventListener("change", () => boxes.forEach((box) => { box.checked = all.checked; }));
    place.append(all);
  }

  const part = document.querySelector("[data-live]");
  if (!part || !window.fetch) return;
  const bar = document.querySelector("[data-live-bar]");
  const status = document.querySelector("[data-live-status]");
  const age = document.querySelector("[data-live-age]");
  const toggle = document.querySelector("[data-live-toggle]");
  const every = Math.max(1000, Number(part.dataset.every));
  let stopped = false, failures = 0, timer = 0, shown = part.innerHTML, held = false, since = Date.now();

  // What is announced to people who do not see it changes only with the state; the seconds stand beside it.
  const say = (text, state, seconds = "") => {
    if (status.textContent !== text) status.textContent = text;
    age.textContent = seconds;
    bar.dataset.state = state;
  };

  part.addEventListener("pointerdown", () => { held = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { setTimeout(() => { held = false; }); });

  // What has the focus keeps it, as far as it is still there.
  const replace = (html) => {
    if (html === shown) return;
    const selection = getSelection();
    if (held || !selection.isCollapsed && part.contains(selection.anchorNode)) return; // somebody is clicking or copying
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const key = (e) => e.tagName + (e.getAttribute("href") || e.getAttribute("aria-label") || e.textContent);
    const wanted = focused && key(focused);
    const scrolls = [...part.querySelectorAll(".scroll")].map((e) => e.scrollLeft);
    part.innerHTML = shown = html;
    part.querySelectorAll(".scroll").forEach((e, i) => { e.scrollLeft = scrolls[i] || 0; });
    if (!focused) return;
    for (const e of part.querySelectorAll("a[href], button, [tabindex]")) {
      if (key(e) === wanted) {
        e.focus({ preventScroll: true });
        return;
      }
    }
    document.getElementById("main").focus({ preventScroll: true }); // it is gone: do not begin at the top of the page
  };

  const renew = async () => {
    const gone = new AbortController();
    const limit = setTimeout(() => gone.abort(), 15000);
    try {
      const answer = await fetch(part.dataset.live, { signal: gone.signal, credentials: "same-origin", redirect: "error", cache: "no-store" });
      // A login page that a proxy answers with is no part of this page.
      if (!answer.ok || !answer.headers.has("Dash-Part")) throw new Error(String(answer.status));
      const html = await answer.text();
      if (stopped) return;
      replace(html);
      failures = 0;
      since = Date.now();
      say("Live", "on");
    } catch {
      failures++;
      if (!stopped) say("Not live", "off", " for " + Math.round((Date.now() - since) / 1000) + " s");
    } finally {
      clearTimeout(limit);
    }
  };

  const next = () => {
    clearTimeout(timer);
    if (stopped || document.hidden) return;
    timer = setTimeout(async () => { await renew(); next(); }, Math.min(every * 2 ** Math.min(failures, 4), 60000));
  };

  toggle.addEventListener("click", async () => {
    stopped = !stopped;
    toggle.textContent = stopped ? "Start updates" : "Stop updates";
    say(stopped ? "Stopped" : "Live", stopped ? "off" : "on");
    if (!stopped) await renew();
    next();
  });
  document.addEventListener("visibilitychange", async () => {
    if (!document.hidden && !stopped) await renew();
    next();
  });
  bar.hidden = false;
  say("Live", "on");
  next();
})();
