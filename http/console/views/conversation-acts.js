// @ts-check
// What can be done with a whole conversation, from its page and from the list.

import { api } from "../api.js";
import { t } from "../texts.js";
import { confirm, dialog, field, form } from "../ui.js";

/** Asks for a title; the new one, or null. @param {string} id @param {string | null} title @returns {Promise<string | null>} */
export function rename(id, title) {
  return dialog({
    title: t("conversations.rename"),
    content: (/** @type {(title: string | null) => void} */ close) => form({
      fields: [field({ name: "title", label: t("conversations.name"), value: title, required: true, control: { maxlength: 200, "data-focus": "" } })],
      submit: async (values) => close((await api.patch(`/chat/sessions/${id}`, values)).title),
      label: t("ui.save"), cancel: () => close(null),
    }),
  });
}

/** @param {string} id @param {string} title @returns {Promise<boolean>} whether it was deleted */
export function remove(id, title) {
  return confirm({ title: t("conversations.delete_title", { title }), text: t("conversations.delete_words"), label: t("conversations.delete"), act: () => api.del(`/chat/sessions/${id}`) });
}
