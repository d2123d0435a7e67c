// Numbers and times as the page writes them.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const count = (number) => whole.format(number);

/** Milliseconds with three digits that count, a true minus sign, and "–" where nothing is known. */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const text = size >= 1000 ? whole.format(size) : size.toFixed(digits);
  return value < 0 ? `−${text}` : text;
}

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** Without decimals, and never more than it is. */
export const roughly = (share) => `${Math.floor(100 * share)} %`;

export function time(milliseconds) {
  const moment = new Date(milliseconds);
  return Number.isNaN(moment.getTime()) ? "–" : clock.format(moment);
}

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
