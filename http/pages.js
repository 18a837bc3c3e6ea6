// The script of the pages e-mails link to. Before the button is clicked, only an invite is looked up.
"use strict";

const MESSAGES = {
  token_invalid: "This link is no longer valid. Request a new e-mail.",
  invite_not_found: "This invitation was not found.",
  invite_not_pending: "This invitation has already been accepted or was revoked.",
  invite_expired: "This invitation has expired. Ask for a new one.",
  email_already_registered: "An account with this e-mail address already exists.",
  password_too_weak: "This password is too common. Choose another one.",
  password_must_contain_letter_and_digit: "The password must contain a letter and a digit.",
  full_name_required: "Enter your name.",
  too_many_attempts: "Too many attempts. Try again later.",
};

const form = document.querySelector("form");
const output = document.querySelector("output");
const token = new URLSearchParams(location.search).get("token") || "";

function messageFor(detail) {
  const first = Array.isArray(detail) ? detail[0] : detail;
  const code = typeof first === "string" ? first : first?.error || first?.ctx?.code;
  return MESSAGES[code] || "The request failed. Check your input and try again.";
}

async function request(url, options) {
  try {
    const response = await fetch(url, { cache: "no-store", credentials: "omit", ...options });
    const body = await response.json();
    return response.ok ? { body } : { error: messageFor(body.detail) };
  } catch {
    return { error: "The service cannot be reached. Try again later." };
  }
}

async function lookUp() {
  const { body, error } = await request(form.dataset.look + "?token=" + encodeURIComponent(token));
  output.textContent = error || `${body.inviter_email} invited ${body.email} to join ${body.tenant_name} as ${body.role}.`;
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
  const { error } = await request(form.dataset.send, options);
  output.textContent = error || form.dataset.done;
  button.disabled = !error;
}

form.addEventListener("submit", send);
if (form.dataset.look) lookUp();
