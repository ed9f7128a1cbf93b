// As asking.py, for node. A .cjs finds its packages by NODE_PATH.
const readline = require("node:readline");

const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = { weather: "The weather of a city", clock: "The time of a city" };
const results = { weather: "30 degrees", clock: "five past noon" };

async function serve(calls) {
  console.log("ready");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    console.log(JSON.stringify(await seen(calls[asked.what], asked.model)));
  }
}

async function seen(call, model) {
  try {
    return await call(model);
  } catch (error) {
    return { error: error.constructor.name, status: error.status ?? null, said: error.message };
  }
}

function joined(pieces) {
  return { text: pieces.join(""), pieces: pieces.filter(Boolean).length };
}

function resultOf(name, given) {
  return given.city === "Rome" ? results[name] : `no such city: ${JSON.stringify(given)}`;
}

module.exports = { HELLO: "hello", city, tools, serve, joined, resultOf };
