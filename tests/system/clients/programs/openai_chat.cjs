// OpenAI's SDK for JavaScript, chat completions.
const OpenAI = require("openai");
const { HELLO, city, tools, serve, joined, resultOf } = require("./asking.cjs");

const client = new OpenAI();
const image = process.argv[2];
const offered = Object.entries(tools).map(([name, description]) => ({
  type: "function",
  function: { name, description, parameters: city },
}));
const user = (content) => [{ role: "user", content }];

async function chat(model, content = HELLO) {
  const answer = await client.chat.completions.create({ model, messages: user(content) });
  return { text: answer.choices[0].message.content };
}

async function stream(model) {
  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ model, messages: user(HELLO), stream: true }))
    pieces.push(chunk.choices[0]?.delta?.content ?? "");
  return joined(pieces);
}

async function withTools(model) {
  const messages = user(HELLO);
  for (;;) {
    const { message } = (await client.chat.completions.create({ model, messages, tools: offered })).choices[0];
    if (!message.tool_calls?.length) return { text: message.content };
    messages.push(message);
    for (const { id, function: called } of message.tool_calls)
      messages.push({ role: "tool", tool_call_id: id, content: resultOf(called.name, JSON.parse(called.arguments)) });
  }
}

function withImage(model) {
  const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } };
  return chat(model, [{ type: "text", text: HELLO }, picture]);
}

async function cancel(model) {
  const chunks = await client.chat.completions.create({ model, messages: user(HELLO), stream: true });
  for await (const chunk of chunks) {
    const text = chunk.choices[0]?.delta?.content;
    if (text) {
      chunks.controller.abort();
      return { text };
    }
  }
}

serve({ chat, stream, tools: withTools, image: withImage, cancel });
