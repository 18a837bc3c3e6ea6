// @ts-check
// The days of a trip and what happens on each, in the time of the place.

/**
 * @typedef {{ pnr: string | null, origin: string | null, dest: string | null, depart: string | null, carrier: string | null, status: string, depart_local: string | null,
 *   arrive: string | null, arrive_local: string | null, flight: string | null, cabin: string | null }} Flight
 * @typedef {{ name: string | null, city: string | null, check_in: string | null, check_out: string | null, status: string }} Hotel
 * @typedef {{ amount: string, currency: string }} Money
 * @typedef {{ session_id: string, passengers: { full_name: string, passport_number: string | null }[], flights: Flight[], hotels: Hotel[],
 *   visas: { country: string | null, status: string | null }[], total_cost: Money, other_currencies: Money[] }} Itinerary
 * @typedef {{ day: string, time: string, place: number, kind: "flight", of: Flight } | { day: string, time: string, place: number, kind: "arrival", of: Flight } | { day: string, time: null, place: number, kind: "check_in" | "night" | "check_out", of: Hotel }} Stop
 */

const MOST_NIGHTS = 60;
/** Of one day: who leaves a hotel flies, and who has arrived moves in. */
const PLACES = { check_out: 0, flight: 1, arrival: 1, check_in: 2, night: 3 };

/** @param {Itinerary} trip @returns {{ day: string, items: Stop[] }[]} */
export function days({ flights, hotels }) {
  const stops = [...flights.flatMap(flown), ...hotels.flatMap(stayed)];
  const found = new Set(stops.map(({ day }) => day));
  return [...found].sort().map((day) => ({ day, items: stops.filter((each) => each.day === day).sort((one, other) => one.place - other.place || String(one.time).localeCompare(String(other.time))) }));
}

/** A flight on the day it departs, and on that of its arrival if it is another. @param {Flight} flight @returns {Stop[]} */
function flown(flight) {
  const [from, to] = [flight.depart_local ?? flight.depart, flight.arrive_local];
  const stop = (/** @type {string} */ at, /** @type {"flight" | "arrival"} */ kind) => /** @type {Stop} */ ({ day: at.slice(0, 10), time: at.slice(11, 16), place: PLACES[kind], kind, of: flight });
  if (from === null) return [];
  return to === null || to.slice(0, 10) === from.slice(0, 10) ? [stop(from, "flight")] : [stop(from, "flight"), stop(to, "arrival")];
}

/** @param {Hotel} hotel @returns {Stop[]} */
function stayed(hotel) {
  const { check_in: first, check_out: last } = hotel;
  if (first === null) return [];
  const stop = (/** @type {string} */ day, /** @type {"check_in" | "night" | "check_out"} */ kind) => /** @type {Stop} */ ({ day, time: null, place: PLACES[kind], kind, of: hotel });
  const between = last === null ? [] : nights(first, last).map((day) => stop(day, "night"));
  return [stop(first, "check_in"), ...between, ...(last === null ? [] : [stop(last, "check_out")])];
}

/** The days between two days. @param {string} first @param {string} last */
function nights(first, last) {
  const found = [];
  for (let each = after(first); each < last && found.length < MOST_NIGHTS; each = after(each)) found.push(each);
  return found;
}

/** @param {string} day */
function after(day) {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString().slice(0, 10);
}
