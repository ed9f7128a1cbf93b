// OpenAI's SDK for JavaScript, responses.
const OpenAI = require("openai");
const { HELLO, city, tools, serve, joined, resultOf } = require("./asking.cjs");

const client = new OpenAI();
const image = process.argv[2];
const offered = Object.entries(tools).map(([name, description]) => ({
  type: "function",
  name,
  description,
  parameters: city,
  strict: false,
}));
const DELTA = "response.output_text.delta";

async function chat(model, content = HELLO) {
  return { text: (await client.responses.create({ model, input: [{ role: "user", content }] })).output_text };
}

async function stream(model) {
  const pieces = [];
  for await (const event of await client.responses.create({ model, input: HELLO, stream: true }))
    if (event.type === DELTA) pieces.push(event.delta);
  return joined(pieces);
}

async function withTools(model) {
  let given = { input: HELLO };
  for (;;) {
    const answer = await client.responses.create({ model, tools: offered, ...given });
    const calls = answer.output.filter((item) => item.type === "function_call");
    if (!calls.length) return { text: answer.output_text };
    const input = calls.map(({ call_id, name, arguments: words }) => ({
      type: "function_call_output",
      call_id,
      output: resultOf(name, JSON.parse(words)),
    }));
    given = { input, previous_response_id: answer.id };
  }
}

function withImage(model) {
  const picture = { type: "input_image", image_url: `data:image/png;base64,${image}`, detail: "auto" };
  return chat(model, [{ type: "input_text", text: HELLO }, picture]);
}

async function cancel(model) {
  const events = await client.responses.create({ model, input: HELLO, stream: true });
  for await (const event of events)
    if (event.type === DELTA) {
      events.controller.abort();
      return { text: event.delta };
    }
}

serve({ chat, stream, tools: withTools, image: withImage, cancel });
