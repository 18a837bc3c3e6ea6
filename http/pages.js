// The three pages of letters. Nothing is sent before somebody presses the button, but for a look at an invite.
"use strict";

const REFUSALS = {
  token_invalid: "This link does not work any more. Ask for a new letter.",
  invite_not_found: "There is no such invitation.",
  invite_not_pending: "This invitation was used or taken back.",
  invite_expired: "This invitation has lapsed. Ask for a new one.",
  email_already_registered: "This address has an account already.",
  password_too_weak: "This password is too common. Choose another.",
  password_must_contain_letter_and_digit: "A password needs a letter and a digit.",
  full_name_required: "Please say your name.",
  too_many_attempts: "Too many attempts. Wait a while and try again.",
};

const form = document.querySelector("form");
const told = document.querySelector("output");
const token = new URLSearchParams(location.search).get("token") || "";

function words(detail) {
  const first = Array.isArray(detail) ? detail[0] : detail;
  const code = typeof first === "string" ? first : first?.error || first?.ctx?.code;
  return REFUSALS[code] || "That did not work. Check what you wrote and try again.";
}

async function answer(url, options) {
  try {
    const response = await fetch(url, { cache: "no-store", credentials: "omit", ...options });
    const body = await response.json();
    return response.ok ? { body } : { refused: words(body.detail) };
  } catch {
    return { refused: "The service cannot be reached. Try again." };
  }
}

async function look() {
  const { body, refused } = await answer(form.dataset.look + "?token=" + encodeURIComponent(token));
  told.textContent = refused || `${body.inviter_email} invites ${body.email} to ${body.tenant_name} as ${body.role}.`;
}

async function send(event) {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  const options = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...Object.fromEntries(new FormData(form)), token }),
  };
  const { refused } = await answer(form.dataset.send, options);
  told.textContent = refused || form.dataset.done;
  button.disabled = !refused;
}

form.addEventListener("submit", send);
if (form.dataset.look) look();
