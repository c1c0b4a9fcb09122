// What the view of duplicates lists: copies around the one to keep, or look-alikes, and what becomes of each image.

import { kept } from "./decisions.js";
import { count, percent } from "./dom.js";

// A set: its first image, those that are compared with it, and whether they are confirmed copies of it.
export function toSets({ groups, look_alikes: alike }) {
  const copies = groups.map(({ ids, members, exact, min_score: lowest }) => ({
    id: ids[0], isCopy: true, how: exact ? "equal files" : `lowest score ${toText(lowest)}`,
    members,
  }));
  const lookAlikes = alike.map(({ ids, min_score: score }) => ({
    id: ids[0], isCopy: false, how: `score ${toText(score)} or more`, members: ids.slice(1).map((id) => ({ id, least: score })),
  }));
  return { copies, lookAlikes };
}

// The score of a member with the first image, or a bound of it; null where there is none.
export const scoreOf = ({ score, least }) => score ?? least ?? null;

export const toText = (score) => (score === null ? "none" : score.toFixed(3));

export const withScore = (sets, lowest) => sets
  .map((one) => ({ ...one, members: one.members.filter((member) => scoreOf(member) === null || scoreOf(member) >= lowest) }))
  .filter(({ members }) => members.length);

export const toPairs = (sets) => sets.flatMap(({ id, isCopy, members }) => members.map((one) => ({ ...one, id, other: one.id, isCopy })));

export const title = ({ members, how }) => `${count(members.length + 1, "image")}, ${how}`;

// How an image differs from the first one: "cropped, shows 80 % of it".
export const difference = ({ kind, overlap }) => [kind, kind && overlap < 0.995 ? `shows ${percent(overlap)} of it` : ""].filter(Boolean).join(", ");

// What becomes of each image: what was decided; else `keep` for the first one and `copy` for a confirmed copy of it.
export function advice({ id, isCopy, members }) {
  const decided = members.map((one) => [one.id, kept(id, one.id)]).filter(([, keep]) => keep !== null);
  const words = new Map([[id, isCopy ? "keep" : ""], ...members.map((one) => [one.id, one.kind ? "copy" : ""])]);
  for (const [other, keep] of decided) words.set(other, keep === "id" ? "remove" : "keep");
  if (decided.length) words.set(id, decided.some(([, keep]) => keep === "other") ? "remove" : "keep");
  return words;
}
