// Keys of the worklist: N begins with the first case, Z takes back the last confirmation.
"use strict";
(() => {
  const undo = document.querySelector("[data-undo]");
  undo?.addEventListener("click", async () => {
    const answer = await fetch(undo.dataset.undo, { method: "POST", headers: { "X-CSRF-Token": undo.dataset.csrf, Accept: "application/json" } });
    if (answer.ok) location.assign((await answer.json()).page);
    else if (answer.status === 401) location.reload();
    else undo.replaceWith(Object.assign(document.createElement("span"), { className: "tag warn", role: "alert", textContent: undo.dataset.failed }));
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    const key = event.key.toLowerCase();
    if (key === "n") document.querySelector("[data-start]")?.click();
    if (key === "z") undo?.click();
  });
})();
