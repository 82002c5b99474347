// Before anything is drawn: the choice of light or dark that was made the last time.
document.documentElement.dataset.theme = "auto";
try {
  document.documentElement.dataset.theme = localStorage.getItem("sr3.theme") ?? "auto";
} catch {
  // this browser keeps nothing
}
