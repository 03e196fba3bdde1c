// The silver Lite badge, and what it says when asked.
//
// A custom element beside the Airflow UI's root: the UI's router and styles neither see nor move it, so it stays
// through client-side navigation. It sits in the padding below the logo and covers no control. The panel is a native
// popover: Escape and a click elsewhere close it, and the browser moves the focus.

const script = document.querySelector('script[src*="lite-badge.js"]');
const { version = "", airflow = "", home = "" } = script?.dataset ?? {};

const STYLE = `
  :host { position: fixed; inset-block-start: 49px; inset-inline-start: 9px; z-index: 20; }
  * { box-sizing: border-box; font-family: Inter, system-ui, -apple-system, "Segoe UI", sans-serif; }
  button {
    display: block; width: 46px; height: 14px; padding: 0; border: 1px solid #8b949f; border-radius: 7px;
    color: #232a33; font-size: 10px; font-weight: 700; line-height: 12px; letter-spacing: .06em; cursor: pointer;
    background: linear-gradient(175deg, #fdfdfe 0%, #dfe3e8 38%, #b6bdc6 62%, #e6e9ed 100%);
    box-shadow: inset 0 1px 0 #ffffffcc, 0 1px 2px #0000002e;
  }
  button:hover { background: linear-gradient(175deg, #ffffff 0%, #eceff2 38%, #c8ced5 62%, #f1f3f5 100%); }
  button:focus-visible { outline: 2px solid #2563eb; outline-offset: 1px; }
  #about {
    position: fixed; inset: auto; inset-block-start: 68px; inset-inline-start: 9px; margin: 0; width: 320px;
    padding: 16px 18px; border: 1px solid #b6bdc6; border-radius: 10px; color: #232a33; background: #fff;
    box-shadow: 0 8px 28px #00000038; font-size: 13px; line-height: 1.5;
  }
  h2 { margin: 0 0 2px; font-size: 15px; }
  p { margin: 0 0 10px; color: #566070; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 12px; margin: 0 0 10px; }
  dt { color: #566070; }
  dd { margin: 0; overflow-wrap: anywhere; }
  code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; }
  nav { display: flex; gap: 14px; }
  a { color: #1d4ed8; }
`;

const facts = [
  ["Version", version],
  ["Interface", airflow && `Apache Airflow ${airflow}`],
  ["Home", home],
].filter(([, value]) => value);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

class LeoflowBadge extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    const about = element(
      "section",
      { id: "about", popover: "auto" },
      element("h2", { id: "title", textContent: "Leoflow Lite" }),
      element("p", { textContent: "The whole product on this machine, in one Postgres." }),
      element(
        "dl",
        {},
        ...facts.flatMap(([name, value]) => [
          element("dt", { textContent: name }),
          element("dd", {}, element("code", { textContent: value })),
        ]),
        element("dt", { textContent: "SQL" }),
        element("dd", {}, element("code", { textContent: 'leoflow sql "select * from leoflow.dag_runs"' })),
      ),
      element(
        "nav",
        {},
        element("a", { href: new URL("docs", document.baseURI).href, textContent: "API reference" }),
        element("a", { href: new URL("readyz", document.baseURI).href, textContent: "Health" }),
      ),
    );
    about.setAttribute("role", "dialog");
    about.setAttribute("aria-labelledby", "title");
    const button = element("button", { type: "button", textContent: "Lite" });
    button.setAttribute("aria-label", "Leoflow Lite: about this installation");
    button.setAttribute("aria-haspopup", "dialog");
    button.popoverTargetElement = about;
    const root = this.attachShadow({ mode: "open" });
    root.append(element("style", { textContent: STYLE }), button, about);
  }
}

customElements.define("leoflow-badge", LeoflowBadge);
document.body.append(document.createElement("leoflow-badge"));
