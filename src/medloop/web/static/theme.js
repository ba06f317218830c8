// Light or dark as the system has it, unless the reader chose; set before the page is drawn.
"use strict";
(() => {
  const root = document.documentElement;
  const kept = localStorage.getItem("medloop.theme");
  if (kept) root.dataset.theme = kept;
  document.addEventListener("DOMContentLoaded", () => {
    for (const each of document.querySelectorAll("[data-theme-switch]"))
      each.addEventListener("click", () => {
        const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        root.dataset.theme = dark ? "light" : "dark";
        localStorage.setItem("medloop.theme", root.dataset.theme);
      });
    for (const each of document.querySelectorAll("[data-submit]")) each.addEventListener("change", () => each.form.requestSubmit());
  });
})();
