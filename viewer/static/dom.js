// The page's elements. Whatever came in a message becomes text, and never markup.

export const $ = (id) => document.getElementById(id);

/** A new element with a class, and children that are elements or text. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Set text only where it changes, so that nothing is laid out, or read out, for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setShare(element, share) {
  element.style.setProperty("--share", share.toFixed(4));
}
