// @ts-check
// The form of an enquiry. Of an existing one only what was changed is sent, so that two people may edit different fields.

import { api, Problem } from "../api.js";
import { h, replace } from "../dom.js";
import { place } from "../format.js";
import { anchor, go, link } from "../router.js";
import { t } from "../texts.js";
import { field, form, header, load, toast } from "../ui.js";
import { STATES } from "./enquiry.js";

/** @typedef {import("./enquiry.js").Enquiry} Enquiry */
/** @typedef {Record<string, string | number | null>} Values */

/** The field that a rule's code is about. @type {Record<string, string>} */
const FIELD_OF = {
  invalid_currency: "budget_currency",
  invalid_date_range: "return_date",
  invalid_pax_count: "pax_count",
  invalid_status_transition: "status",
};
/** What a new enquiry is possibly a duplicate of, by its id, until its page has said so. @type {Map<string, any[]>} */
export const duplicates = new Map();

/** @param {import("../view.js").View} view */
export function newEnquiry(view) {
  const submit = async (/** @type {Values} */ given) => {
    const made = await ruled(() => api.post("/enquiries", given, { idempotent: true }));
    duplicates.set(made.id, made.possible_duplicates);
    toast(t("enquiries.created_now"));
    if (view.isConnected) go(link("enquiries", made.id), { replace: true });
  };
  replace(view, header(t("enquiries.new")), enquiryForm(null, submit, link("enquiries")));
}

/** @param {import("../view.js").View} view @param {string} id */
export function editEnquiry(view, id) {
  const whole = h("div");
  replace(view, h("p", { class: "back" }, anchor(link("enquiries"), null, t("enquiries.all"))), whole);
  load(whole, () => api.get(`/enquiries/${id}`, {}, { signal: view.signal }), (/** @type {Enquiry} */ enquiry) => {
    const submit = async (/** @type {Values} */ given) => {
      const changes = Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== Reflect.get(enquiry, name)));
      await ruled(() => api.patch(`/enquiries/${id}`, changes));
      toast(t("ui.saved"));
      if (view.isConnected) go(link("enquiries", id), { replace: true });
    };
    return [header(t("enquiries.edit_of", { name: enquiry.customer_name })), enquiryForm(enquiry, submit, link("enquiries", id))];
  }, view.signal, t("enquiries.absent"));
}

/** A rule's code becomes the error of its field. @template T @param {() => Promise<T>} act @returns {Promise<T>} */
async function ruled(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Problem) || !(error.code in FIELD_OF)) throw error;
    throw new Problem(error.status, error.code, { fields: { [FIELD_OF[error.code]]: { code: error.code, ctx: {} } } });
  }
}

/** @param {Enquiry | null} enquiry @param {(given: Values) => Promise<void>} submit @param {string} back */
function enquiryForm(enquiry, submit, back) {
  const value = (/** @type {keyof Enquiry} */ name) => enquiry?.[name] ?? "";
  const text = (/** @type {keyof Enquiry} */ name, /** @type {object} */ control = {}, /** @type {string} */ type = "text") =>
    field({ name, label: t(`enquiries.fields.${name}`), value: value(name), type, control: { autocomplete: "off", ...control } });
  const states = /** @type {[string, string][]} */ (STATES.map((each) => [each, t(`enquiries.status.${each}`)]));
  return form({
    class: "wide",
    label: t(enquiry === null ? "enquiries.create" : "ui.save"),
    cancel: () => go(back),
    submit: (values) => submit(givenBy(values)),
    fields: [
      field({ name: "customer_name", label: t("enquiries.fields.customer_name"), value: value("customer_name"), required: true, control: { maxlength: 255, autocomplete: "off", focus: true } }),
      h("div", { class: "row" }, text("customer_email", { maxlength: 255 }, "email"), text("customer_phone", { maxlength: 64 }, "tel")),
      h("div", { class: "row" }, text("origin", { maxlength: 128 }), text("destination", { maxlength: 128 })),
      h("div", { class: "row" }, text("depart_date", {}, "date"), text("return_date", {}, "date"),
        field({ name: "pax_count", label: t("enquiries.fields.pax_count"), type: "number", value: enquiry?.pax_count ?? 1, required: true, control: { min: 1, step: 1, inputmode: "numeric" } })),
      h("div", { class: "row" }, text("budget_amount", { inputmode: "decimal" }),
        field({ name: "budget_currency", label: t("enquiries.fields.budget_currency"), value: enquiry?.budget_currency ?? place().currency, required: true, control: { maxlength: 3, autocapitalize: "characters", autocomplete: "off", spellcheck: "false" } })),
      enquiry === null && field({ name: "status", label: t("enquiries.state"), value: "new", options: states }),
      field({ name: "notes", label: t("enquiries.fields.notes"), value: value("notes"), rows: 5, control: { maxlength: 10_000 } }),
    ],
  });
}

/** What the API is sent: empty texts as null, a count as a number, a currency only beside an amount. @param {Record<string, any>} values @returns {Values} */
function givenBy(values) {
  /** @type {Values} */
  const given = {};
  for (const [name, value] of Object.entries(values)) given[name] = value.trim() === "" ? null : name === "notes" ? value : value.trim();
  given.customer_name ??= "";
  given.pax_count = given.pax_count === null ? null : Number(given.pax_count);
  given.budget_amount = given.budget_amount === null ? null : plainAmount(String(given.budget_amount));
  given.budget_currency = given.budget_amount === null ? null : String(given.budget_currency).toUpperCase();
  return given;
}

/** Thousands apart, as `1,250,000.5` or `12,50,000.5`; the last three digits always are. */
const GROUPED = /^\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?$/;
const DEVANAGARI_ZERO = 0x966;

/** An amount as people type it, with separators and blanks, as the API reads it; what is none of these stays as it is, to be refused. @param {string} typed */
function plainAmount(typed) {
  const digits = typed.replaceAll(/\s/g, "").replaceAll(/[\u0966-\u096f]/g, (digit) => String(digit.charCodeAt(0) - DEVANAGARI_ZERO));
  const bare = GROUPED.test(digits) ? digits.replaceAll(",", "") : digits;
  return /^\d+\.\d$/.test(bare) ? `${bare}0` : /^\d+$/.test(bare) ? `${bare}.00` : bare;
}
