// Dark or light, before anything is painted: what the reader chose here, else what the system asks for. No module, so
// that it runs at once; `theme.js` is what changes it.
document.documentElement.dataset.theme =
  localStorage.getItem("slackwater-theme") ??
  (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
