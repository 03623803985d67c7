// Making and filling elements.

export const find = (id) => document.getElementById(id);

// An element with properties and children; data is set as text, never as markup.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Fills a <select> with [value, text] pairs and keeps the choice where it still exists.
export function fill(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

// Shows a message in its place, or hides the place without one.
export function tell(element, message) {
  element.textContent = message ?? "";
  element.hidden = !message;
}

export const announce = (message) => { find("status").textContent = message; };

export function percent(share) {
  if (share >= 0.9995) return "100 %";
  if (share < 0.0001) return "< 0.01 %";
  return `${(share * 100).toPrecision(share < 0.01 ? 1 : share < 0.1 ? 2 : 3)} %`;
}

export function ordinal(number) {
  const tens = number % 100 > 10 && number % 100 < 14;
  return number.toLocaleString("en") + ((!tens && ["th", "st", "nd", "rd"][number % 10]) || "th");
}
