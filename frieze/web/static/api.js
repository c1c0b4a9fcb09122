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

// What takes longer is answered with 202 until it is there.
export async function askUntilThere(path) {
  for (;;) {
    const answer = await call(path);
    if (answer.status !== 202) return answer.json();
    await new Promise((done) => setTimeout(done, 700));
  }
}
