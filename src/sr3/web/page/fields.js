// One field of the form for each option, by its type; a few that everybody uses have a form of their own.
import { fresh, make } from "./dom.js";
import { t } from "./strings.js";

/**
 * @typedef {import("./api.js").Option} Option
 * @typedef {Record<string, any>} Values  by the options' names; one that is absent has its default
 * @typedef {{values: Values, factor: number | null, qualities: Set<string>, varies: boolean,
 *   changed: () => void}} Context
 */

/** @param {string} name */
const plain = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

/** @param {Option} option */
const label = (option) => t(`option.${option.name}`, {}, plain(option.name));

/** @param {Option} option */
const help = (option) => t(`says.${option.name}`, {}, option.says);

/**
 * Set an option, or let it have its default.
 * @param {Context} context
 * @param {string} name
 * @param {any} value
 */
function set({ values, changed }, name, value) {
  if (value === undefined || value === null || value === "" || Number.isNaN(value)) delete values[name];
  else values[name] = value;
  changed();
}

/**
 * The field of an option.
 * @param {Option} option
 * @param {Context} context
 * @returns {HTMLElement}
 */
export function field(option, context) {
  const own = { scale, seed, samples }[option.name];
  if (own) return own(option, context);
  if (option.type === "boolean") return check(option, context);
  if (option.type === "choice" && (option.choices ?? []).length <= 4) return quality(option, context);
  if (option.type === "choice") return select(option, context);
  return input(option, context);
}

/**
 * @param {string} words
 * @param {HTMLElement} inside
 * @param {string} [more]
 */
function labelled(words, inside, more = "") {
  inside.id = fresh();
  const note = more ? make("p", { className: "small", id: fresh() }, more) : null;
  if (note) inside.setAttribute("aria-describedby", note.id);
  return make("div", { className: "field" }, make("label", { for: inside.id }, words), inside, note);
}

/**
 * @param {Option} option
 * @param {Context} context
 */
function input(option, context) {
  const { values } = context;
  const number = option.type !== "text";
  const box = make("input", { name: option.name, value: values[option.name] ?? option.default ?? "", autocomplete: "off" });
  if (number) {
    box.type = "number";
    box.inputMode = option.type === "integer" ? "numeric" : "decimal";
    box.step = option.type === "integer" ? "1" : "any";
    if (option.minimum !== null) box.min = String(option.minimum);
    if (option.maximum !== null) box.max = String(option.maximum);
  }
  if (option.default === null) box.placeholder = t("auto");
  box.addEventListener("input", () => {
    if (box.checkValidity()) set(context, option.name, number ? box.valueAsNumber : box.value.trim());
  });
  return labelled(label(option), box, help(option));
}

/**
 * @param {Option} option
 * @param {Context} context
 */
function check(option, context) {
  const box = make("input", { type: "checkbox", name: option.name });
  box.checked = context.values[option.name] ?? option.default ?? false;
  box.addEventListener("change", () => set(context, option.name, box.checked));
  return make("label", { className: "check", title: help(option) }, box, label(option));
}

/**
 * @param {Option} option
 * @param {Context} context
 */
function select(option, context) {
  const none = option.default === null ? [make("option", { value: "" }, t("auto"))] : [];
  const choices = (option.choices ?? []).map((each) => make("option", { value: each }, t(`choice.${each}`, {}, each)));
  const box = make("select", { name: option.name }, ...none, ...choices);
  box.value = context.values[option.name] ?? option.default ?? "";
  box.addEventListener("change", () => set(context, option.name, box.value));
  return labelled(label(option), box);
}

/**
 * Choices beside each other, one of which is taken.
 * @param {string} legend
 * @param {{value: string, words: string, can?: boolean}[]} choices
 * @param {string} chosen
 * @param {(value: string) => void} taken
 */
function segments(legend, choices, chosen, taken) {
  const name = fresh();
  const list = choices.map(({ value, words, can = true }) => {
    const input = make("input", { type: "radio", name, value, checked: value === chosen, disabled: !can, className: "unseen" });
    input.addEventListener("change", () => taken(value));
    return make("label", {}, input, make("span", {}, words));
  });
  return make("fieldset", { className: "field segments" }, make("legend", {}, legend), make("div", {}, ...list));
}

/**
 * Few choices: those that the model has.
 * @param {Option} option
 * @param {Context} context
 */
function quality(option, context) {
  const known = option.name !== "quality" ? new Set(option.choices) : context.qualities;
  const none = option.default === null ? [{ value: "", words: t("auto") }] : [];
  const choices = (option.choices ?? []).map((value) => ({
    value,
    words: t(`choice.${value}`, {}, value),
    can: known.has(value),
  }));
  const now = context.values[option.name] ?? option.default ?? "";
  const chosen = now === "" || known.has(now) ? now : "";
  return segments(label(option), [...none, ...choices], chosen, (value) => set(context, option.name, value));
}

/**
 * @param {Option} option
 * @param {Context} context
 */
function samples(option, context) {
  const choices = [
    { value: "1", words: t("samples.one") },
    { value: "4", words: t("samples.four"), can: context.varies },
  ];
  const chosen = context.varies && context.values.samples > 1 ? "4" : "1";
  return segments(label(option), choices, chosen, (value) => set(context, "samples", value === "1" ? null : Number(value)));
}

/**
 * @param {Option} option
 * @param {Context} context
 */
function seed(option, context) {
  const whole = input(option, context);
  const box = /** @type {HTMLInputElement} */ (whole.querySelector("input"));
  const another = make("button", { type: "button" }, t("seed.another"));
  another.addEventListener("click", () => {
    box.value = String(Math.floor(Math.random() * 1e6));
    set(context, "seed", Number(box.value));
  });
  const row = make("div", { className: "row" });
  box.replaceWith(row);
  row.append(box, another);
  return whole;
}

/**
 * How large: a usual factor, another one, or a size.
 * @param {Option} option
 * @param {Context} context
 */
function scale(option, context) {
  const { values } = context;
  const usual = ["2", "4", "8"];
  const now = values.size || values.other ? "other" : String(values.scale ?? context.factor ?? 4);
  const other = make("div", { className: "row other" });
  const number = { ...option, default: null };
  const size = /** @type {Option} */ ({ name: "size", type: "text", default: null, says: "", choices: null });
  other.append(input(number, context), input(size, context));
  const show = (/** @type {boolean} */ on) => {
    other.hidden = !on;
    // what is not seen holds nothing up
    for (const each of other.querySelectorAll("input")) each.disabled = !on;
  };
  show(!usual.includes(now));
  const choices = [...usual.map((value) => ({ value, words: `${value}×` })), { value: "other", words: t("scale.other") }];
  const whole = segments(label(option), choices, usual.includes(now) ? now : "other", (value) => {
    show(value === "other");
    delete values.size;
    values.other = value === "other" || undefined;
    set(context, "scale", value === "other" ? null : Number(value));
    if (value === "other") for (const each of other.querySelectorAll("input")) each.value = "";
  });
  whole.append(other);
  return whole;
}
