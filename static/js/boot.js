// Runs before the first paint: marks that scripts run and puts the frame as it was left, so that nothing jumps.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const kept = (k) => localStorage.getItem("nova." + k);
    if (innerWidth > 900) {
      if (kept("tree")) root.dataset.tree = kept("tree");
      if (kept("drawer")) root.dataset.drawer = kept("drawer");
      for (const k of ["tree", "drawer"]) if (kept(k + ".size")) root.style.setProperty("--" + k, kept(k + ".size") + "px");
    }
    if (root.dataset.theme === "auto" && kept("theme") && !document.cookie.includes("session")) root.dataset.theme = kept("theme");
  } catch { /* storage may be forbidden; the defaults do */ }
})();
