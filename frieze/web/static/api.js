// The calls, which are the public ones.

export class Problem extends Error {
  constructor(detail, mend = "") {
    super(detail);
    this.detail = detail;
    this.mend = mend;
  }
}

export function address(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

export async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer.", "Look whether frieze serve is still running.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(problem.detail ?? `The server answered ${answer.status}.`, problem.mend);
}

export const ask = async (path, options) => (await call(path, options)).json();

// The token that the printed address brings; the server stores decisions for those alone who send it along.
let token = "";

export function takeToken() {
  if (!location.hash.startsWith("#token=")) return;
  token = location.hash.slice("#token=".length);
  history.replaceState(null, "", location.pathname); // who looks over the shoulder, or copies the address, does not get it
  try { localStorage.setItem("token", token); } catch { /* this tab knows it */ }
}

function knownToken() {
  try { return localStorage.getItem("token") ?? token; } catch { return token; }
}

export const send = (path, document) => call(path, {
  method: "POST", headers: { "content-type": "application/json", "x-frieze-token": knownToken() }, body: JSON.stringify(document),
});

// What takes longer is answered with 202 until it is there.
export async function askUntilThere(path, options) {
  for (;;) {
    const answer = await call(path, options);
    if (answer.status !== 202) return answer.json();
    await new Promise((done) => setTimeout(done, 700));
  }
}
