/* What the fake provider says, in the words of both vendors. A chunk takes its number as %u. */
#ifndef BENCH_ANSWERS_H
#define BENCH_ANSWERS_H

#define TEXT "The fake provider answers this with one short and friendly sentence."
#define ANTHROPIC_USAGE "\"input_tokens\":12,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
#define ANTHROPIC_HEAD "\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-5-5\","
#define OPENAI_USAGE \
    "{\"prompt_tokens\":12,\"completion_tokens\":14,\"total_tokens\":26," \
    "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}"
#define OPENAI_HEAD(object) \
    "{\"id\":\"chatcmpl-bench\",\"object\":\"" object "\",\"created\":1790000000,\"model\":\"kimi-k2.6\","

static const char ANTHROPIC_JSON[] =
    "{" ANTHROPIC_HEAD "\"content\":[{\"type\":\"text\",\"text\":\"" TEXT "\"}],\"stop_reason\":\"end_turn\","
    "\"stop_sequence\":null,\"usage\":{" ANTHROPIC_USAGE "\"output_tokens\":14,\"service_tier\":\"standard\"}}";
static const char ANTHROPIC_FIRST[] =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{" ANTHROPIC_HEAD "\"content\":[],"
    "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{" ANTHROPIC_USAGE "\"output_tokens\":1}}}\n\n"
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
static const char ANTHROPIC_CHUNK[] =
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
    "\"delta\":{\"type\":\"text_delta\",\"text\":\" word%u\"}}\n\n";
static const char ANTHROPIC_LAST[] =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
    "\"stop_sequence\":null},\"usage\":{\"output_tokens\":14}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
static const char OPENAI_JSON[] =
    OPENAI_HEAD("chat.completion") "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT
    "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":" OPENAI_USAGE "}";
#define OPENAI_DELTA(delta, reason) \
    "data: " OPENAI_HEAD("chat.completion.chunk") "\"choices\":[{\"index\":0,\"delta\":{" delta "}," \
    "\"logprobs\":null,\"finish_reason\":" reason "}]}\n\n"
static const char OPENAI_FIRST[] = OPENAI_DELTA("\"role\":\"assistant\",\"content\":\"\"", "null");
static const char OPENAI_CHUNK[] = OPENAI_DELTA("\"content\":\" word%u\"", "null");
static const char OPENAI_STOP[] = OPENAI_DELTA("", "\"stop\"");
static const char OPENAI_STREAM_USAGE[] =
    "data: " OPENAI_HEAD("chat.completion.chunk") "\"choices\":[],\"usage\":" OPENAI_USAGE "}\n\n";
static const char OPENAI_DONE[] = "data: [DONE]\n\n";
static const char ANTHROPIC_ERROR[] =
    "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the fake provider was told to fail\"}}";
static const char OPENAI_ERROR[] =
    "{\"error\":{\"message\":\"the fake provider was told to fail\",\"type\":\"server_error\",\"code\":null}}";
static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    "request-id: req_bench\r\nx-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n";

#endif
