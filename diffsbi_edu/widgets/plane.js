// The data plane: click, drag or use the arrow keys to choose an observation.
// It also tells the kernel when the page that shows it opens and closes.
function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "diffsbi-plane";
  const picture = document.createElement("img");
  picture.draggable = false;
  const mark = document.createElement("div");
  mark.className = "diffsbi-plane-mark";
  root.append(picture, mark);
  el.append(root);

  let url = null;
  function showPicture() {
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    picture.src = url;
  }
  function showState() {
    const clickable = model.get("clickable");
    root.tabIndex = clickable ? 0 : -1;
    root.setAttribute("role", clickable ? "application" : "img");
    root.classList.toggle("clickable", clickable);
    mark.style.display = clickable ? "block" : "none";
    const [a, b] = model.get("point");
    const names = model.get("names");
    const value = clickable ? ` ${names[0]} = ${a.toPrecision(3)}, ${names[1]} = ${b.toPrecision(3)}` : "";
    root.setAttribute("aria-label", model.get("label") + value);
    root.title = model.get("label");
    const [x0, x1, y0, y1] = model.get("limits");
    const [left, top, right, bottom] = model.get("box");
    mark.style.left = 100 * (left + ((a - x0) / (x1 - x0)) * (right - left)) + "%";
    mark.style.top = 100 * (bottom - ((b - y0) / (y1 - y0)) * (bottom - top)) + "%";
  }
  function choose(a, b) {
    const [x0, x1, y0, y1] = model.get("limits");
    model.set("point", [Math.min(x1, Math.max(x0, a)), Math.min(y1, Math.max(y0, b))]);
    model.save_changes();
  }
  function chooseAt(event) {
    const area = picture.getBoundingClientRect();
    const [x0, x1, y0, y1] = model.get("limits");
    const [left, top, right, bottom] = model.get("box");
    const across = ((event.clientX - area.left) / area.width - left) / (right - left);
    const up = (bottom - (event.clientY - area.top) / area.height) / (bottom - top);
    choose(x0 + across * (x1 - x0), y0 + up * (y1 - y0));
  }
  let held = false;
  root.addEventListener("pointerdown", (event) => {
    if (!model.get("clickable") || event.button !== 0) return;
    held = true;
    root.setPointerCapture(event.pointerId);
    chooseAt(event);
  });
  root.addEventListener("pointermove", (event) => held && chooseAt(event));
  root.addEventListener("pointerup", () => (held = false));
  root.addEventListener("pointercancel", () => (held = false));
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  root.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move || !model.get("clickable")) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
    const [x0, x1, y0, y1] = model.get("limits");
    const share = event.shiftKey ? 0.1 : 0.02;
    const [a, b] = model.get("point");
    choose(a + move[0] * share * (x1 - x0), b + move[1] * share * (y1 - y0));
  });

  model.on("change:picture", showPicture);
  const state = ["point", "limits", "box", "clickable", "label", "names"];
  for (const name of state) model.on("change:" + name, showState);
  showPicture();
  showState();

  const view = Math.random().toString(36).slice(2);
  const tell = (kind) => {
    try {
      model.send({ kind, view });
    } catch (error) {
      // The kernel has gone: there is nobody left to tell.
    }
  };
  const leave = () => tell("closed");
  const back = (event) => event.persisted && tell("open");
  tell("open");
  // A last word can be lost when a page closes on a busy machine, so silence means "closed", too.
  const beat = setInterval(() => tell("open"), 20000);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", back);
  return () => {
    clearInterval(beat);
    leave();
    window.removeEventListener("pagehide", leave);
    window.removeEventListener("pageshow", back);
    model.off("change:picture", showPicture);
    for (const name of state) model.off("change:" + name, showState);
    if (url) URL.revokeObjectURL(url);
  };
}
export default { render };
