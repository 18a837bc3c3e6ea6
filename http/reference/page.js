// The script of /docs: fills the example commands in, filters the operations, copies a command. It sends nothing.
"use strict";

const SAFE = /[^A-Za-z0-9._~:\/@+=-]/g; // what cannot end a quoted word of a shell

function fill(name, value) {
  for (const place of document.querySelectorAll(`[data-fill="${name}"]`)) {
    place.textContent = value || place.dataset.empty;
  }
}

function watchFields() {
  const places = new Map();
  for (const place of document.querySelectorAll("[data-fill]")) {
    place.dataset.empty = place.textContent;
    places.set(place.dataset.fill, true);
  }
  for (const input of document.querySelectorAll("input[data-fills]")) {
    const name = input.dataset.fills;
    if (name === "base" && location.protocol.startsWith("http")) {
      input.value = location.origin + location.pathname.replace(/\/docs\/?$/, "");
    }
    const apply = () => fill(name, input.value.trim().replace(SAFE, "").replace(/\/+$/, ""));
    input.addEventListener("input", apply);
    apply();
  }
}

function watchSearch() {
  const field = document.getElementById("search");
  const found = document.getElementById("found");
  const entries = [...document.querySelectorAll("article[data-words]")].map((article) => ({
    article,
    link: document.querySelector(`.side a[href="#${CSS.escape(article.id)}"]`).parentElement,
    words: article.dataset.words.toLowerCase(),
  }));
  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const entry of entries) {
      const matches = words.every((word) => entry.words.includes(word));
      entry.article.hidden = entry.link.hidden = !matches;
      shown += matches ? 1 : 0;
    }
    for (const group of document.querySelectorAll("[data-group]")) {
      const links = [...group.querySelectorAll("li, article")];
      group.hidden = links.length > 0 && links.every((each) => each.hidden);
    }
    for (const part of document.querySelectorAll("[data-prose]")) part.hidden = words.length > 0;
    found.textContent = words.length ? `${shown} of ${entries.length} operations` : "";
  }
  field.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    } else if (event.key === "Escape" && event.target === field) {
      field.value = "";
      filter();
    }
  });
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.closest("[hidden]")) {
      field.value = "";
      filter();
      target.scrollIntoView();
    }
  });
}

function watchCopies() {
  for (const button of document.querySelectorAll("button.copy")) {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}

function watchPlace() {
  const links = new Map([...document.querySelectorAll(".side nav a")].map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver((seen) => {
    const first = seen.find((each) => each.isIntersecting);
    if (!first) return;
    for (const link of links.values()) link.removeAttribute("aria-current");
    const current = links.get(first.target.id);
    current?.setAttribute("aria-current", "true");
    const side = document.querySelector(".side");
    if (current && getComputedStyle(side).position === "sticky") {
      const [link, box] = [current.getBoundingClientRect(), side.getBoundingClientRect()];
      if (link.top < box.top || link.bottom > box.bottom) side.scrollTop += link.top - box.top - box.height / 3;
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const id of links.keys()) {
    const target = document.getElementById(id);
    if (target) observer.observe(target);
  }
}

watchFields();
watchSearch();
watchCopies();
watchPlace();
