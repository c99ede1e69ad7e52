// Runs a plan (tests/netns/clients/rows.py) with fetch: in Node.js, bun and Deno.
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
for (const step of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  if (step.wait) {
    await lines.next();
    continue;
  }
  const result = { status: 0, size: 0, error: "" };
  try {
    const body = step.body ? new Uint8Array(step.body) : undefined;
    const answer = await fetch(step.url, { method: step.method, headers: step.headers, body });
    result.status = answer.status;
    for await (const piece of answer.body) result.size += piece.length;
  } catch (error) {
    result.status = 0;
    result.error = `${error} ${error.cause ?? ""}`;
  }
  console.log(JSON.stringify(result));
}
process.exit(0);
