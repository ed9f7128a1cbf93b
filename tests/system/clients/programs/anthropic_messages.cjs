// Anthropic's SDK for JavaScript.
const Anthropic = require("@anthropic-ai/sdk");
const { HELLO, city, tools, serve, joined, resultOf } = require("./asking.cjs");

const client = new Anthropic();
const image = process.argv[2];
const offered = Object.entries(tools).map(([name, description]) => ({ name, description, input_schema: city }));
const user = (content) => [{ role: "user", content }];
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

async function chat(model, content = HELLO) {
  return { text: textOf(await client.messages.create({ model, max_tokens: 500, messages: user(content) })) };
}

async function stream(model) {
  const pieces = [];
  const streaming = client.messages.stream({ model, max_tokens: 500, messages: user(HELLO) });
  streaming.on("text", (piece) => pieces.push(piece));
  await streaming.finalMessage();
  return joined(pieces);
}

async function withTools(model) {
  const messages = user(HELLO);
  for (;;) {
    const said = await client.messages.create({ model, max_tokens: 500, messages, tools: offered });
    const used = said.content.filter((block) => block.type === "tool_use");
    if (!used.length) return { text: textOf(said) };
    const content = used.map(({ id, name, input }) => ({
      type: "tool_result",
      tool_use_id: id,
      content: resultOf(name, input),
    }));
    messages.push({ role: "assistant", content: said.content }, { role: "user", content });
  }
}

function withImage(model) {
  const source = { type: "base64", media_type: "image/png", data: image };
  return chat(model, [{ type: "image", source }, { type: "text", text: HELLO }]);
}

async function cancel(model) {
  const streaming = client.messages.stream({ model, max_tokens: 500, messages: user(HELLO) });
  const text = await new Promise((done) => streaming.once("text", done));
  streaming.abort();
  await streaming.done().catch(() => {});
  return { text };
}

serve({ chat, stream, tools: withTools, image: withImage, cancel });
