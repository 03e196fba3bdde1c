// The silver Lite badge: a custom element of its own beside the Airflow UI's root, so that the UI's code and
// styles neither see nor move it.
const script = document.querySelector('script[src*="lite-badge.js"]');

const STYLE = `
  :host { position: fixed; left: 10px; bottom: 6px; z-index: 900; font: 600 11px/1 system-ui, sans-serif; }
`;

class LeoflowBadge extends HTMLElement {
  connectedCallback() {
    const root = this.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = STYLE;
    const label = document.createElement("span");
    label.textContent = "Lite";
    root.append(style, label);
    this.title = `Leoflow Lite ${script?.dataset.version ?? ""}`;
  }
}

customElements.define("leoflow-badge", LeoflowBadge);
document.body.append(document.createElement("leoflow-badge"));
