// Numbers and times as people read them. Decimal texts are never turned into floats here where every digit is shown.

/** Digits behind the point that a series of decimal texts needs. */
export function digitsOf(texts) {
  return texts.reduce((most, text) => Math.max(most, (text.split(".")[1] ?? "").length), 0);
}

/** A decimal text with groups of three, filled with zeros to `digits`. */
export function decimal(text, digits = 0) {
  const [whole, fraction = ""] = text.split(".");
  const filled = fraction.padEnd(digits, "0");
  return group(whole) + (filled ? `.${filled}` : "");
}

/** A decimal text rounded for a narrow place: about `significant` digits. */
export function short(text, significant = 5) {
  const value = Number(text);
  const notation = Math.abs(value) >= 1e6 ? "compact" : "standard";
  return new Intl.NumberFormat("en", { maximumSignificantDigits: significant, notation }).format(value);
}

/** A whole number with groups of three. */
export function whole(value) {
  return group(String(value));
}

/** The time since a moment given in microseconds, in its largest unit. */
export function age(timeUs, nowMs = Date.now()) {
  const seconds = Math.max(0, Math.floor(nowMs / 1000 - timeUs / 1e6));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** A moment in microseconds as date and time, UTC. */
export function moment(timeUs) {
  return new Date(timeUs / 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** The time of day of a moment in microseconds, UTC. */
export function timeOfDay(timeUs) {
  return moment(timeUs).slice(11);
}

/** A decimal text as a whole number of 1e-8, exact. */
export function units(text) {
  const [whole, fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(8, "0"));
}

/** A whole number of 1e-8 as a decimal text with a sign. */
export function signed(count) {
  const digits = String(count < 0n ? -count : count).padStart(9, "0");
  const fraction = digits.slice(-8).replace(/0+$/, "");
  return (count < 0n ? "−" : "+") + group(digits.slice(0, -8)) + (fraction && `.${fraction}`);
}

/** Seconds as people read a latency. */
export function latency(seconds) {
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

function group(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}
