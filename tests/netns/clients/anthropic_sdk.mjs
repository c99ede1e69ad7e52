// Runs a plan (tests/netns/clients/rows.py) with Anthropic's SDK for TypeScript, which finds the key in the environment.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ timeout: 60_000 });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
for (const step of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  if (step.wait) {
    await lines.next();
    continue;
  }
  const result = { status: 0, size: 0, error: "" };
  const messages = [{ role: "user", content: "a".repeat(step.body || 1) }];
  const ask = { model: "claude", max_tokens: 10, messages };
  const headers = step.bare ? { ...step.headers, authorization: null } : step.headers;
  try {
    const answer = step.stream
      ? await client.messages.stream(ask, { headers }).finalMessage()
      : await client.messages.create(ask, { headers });
    result.size = answer.content[0].text.length;
    result.status = 200;
  } catch (error) {
    result.status = error.status ?? 0;
    result.error = `${error}`;
  }
  console.log(JSON.stringify(result));
}
process.exit(0);
